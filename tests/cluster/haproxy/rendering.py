"""HAProxy's configuration as the installed Ray Serve writes it, with the variables that a service has."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from support.commands import environment

from athanor.cluster import ray_environment

HTTP_PORT: Final = 8000
GRPC_PORT: Final = 9000

# Of a configuration: whether there is an application, and whether there is a gRPC door.
_VARIANTS: Final = {"app": (True, True), "empty": (False, True), "http": (False, False)}
# Nothing listens there.
_NOWHERE: Final = {"http": (1,), "grpc": (1,)}

_PROGRAM: Final = """
import json, sys
from ray.serve._private.common import RequestProtocol
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions, gRPCOptions

path, http, grpc, variants, ports = sys.argv[1], *map(json.loads, sys.argv[2:6])
for name, (has_app, has_grpc) in variants.items():
    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=http),
        grpc_options=gRPCOptions(port=grpc, grpc_servicer_functions=["os.path.join"] * has_grpc),
        is_head=True,
        has_received_routes=True,
        has_received_servers=has_app,
    )
    backends = {
        name: BackendConfig(
            name=name,
            path_prefix="/",
            app_name="secret_name",
            protocol=protocol,
            servers=[ServerConfig(f"replica-{port}", "127.0.0.1", port) for port in ports[name[:4]]],
            fallback_server=ServerConfig("fallback", "127.0.0.1", 2),
        )
        for name, protocol in (("http-app", RequestProtocol.HTTP), ("grpc-app", RequestProtocol.GRPC))
        if has_app
    }
    HAProxyApi(config, backends, f"{path}.{name}")._generate_config_file_internal()
"""


def render(folder: Path, replicas: Mapping[str, Sequence[int]] = _NOWHERE) -> Mapping[str, str]:
    """Returns what Serve writes for doors on loopback, by variant: "app", "empty" (no application), "http" (no gRPC).

    Args:
        folder: of sockets.
        replicas: their ports, by protocol: "http" and "grpc".
    """
    variables = ray_environment.serve(folder, None, 1024, 64, 1)
    path = variables["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"]
    given = (HTTP_PORT, GRPC_PORT, _VARIANTS, replicas)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, path, *map(json.dumps, given)],
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: Path(f"{path}.{name}").read_text() for name in _VARIANTS}
