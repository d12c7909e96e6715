"""A node of a cluster, in the foreground: Ray's own processes, whose workers are of this binary.

Which ports a node waits at is in `docs/cluster.md`: keep the two together.
"""

import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from athanor.cluster import ray_internals
from athanor.cluster.addresses import (
    Address,
    find_own_address,
    loopback_environment,
    require_cluster,
    require_own,
    resolve,
)
from athanor.cluster.serve_haproxy import LOOPBACK
from athanor.cluster.token import ray_authentication, read_ray_token, write_ray_token
from athanor.errors import ServiceError
from athanor.serving.hosting.local_ray import (
    InnerPorts,
    leave_out_what_nobody_asks,
    serve_environment,
    wrap_haproxy,
)
from athanor.serving.setup.paths import NODE_VARIABLE
from athanor.serving.setup.settings import ServingSettings

DEFAULT_FIRST_PORT: Final = 20_000
DEFAULT_OBJECT_STORE_MIB: Final = 256
# A node's own, from the first on: node manager, object manager and three agents, then workers.
PORTS_OF_A_NODE: Final = 200
_FIRST_WORKER: Final = 10
# The same on all nodes: the head gives them out.
SERVE_PORTS: Final = InnerPorts(others=19_200, replica_http=19_000, replica_grpc=19_100)

_WAIT_S: Final = 60.0
_POLL_S: Final = 0.5


@dataclass(frozen=True)
class NodePlan:
    """What a node is to be.

    Attributes:
        host: address by which the others reach it.
        cluster: of the head; of this node, if it is the head.
        token: file of Ray's token.
    """

    host: str
    cluster: Address
    is_head: bool
    token: Path
    first_port: int = DEFAULT_FIRST_PORT
    object_store_mib: int = DEFAULT_OBJECT_STORE_MIB

    @property
    def name(self) -> str:
        return self.host if self.first_port == DEFAULT_FIRST_PORT else f"{self.host}-{self.first_port}"


def plan_head(host: str | None, port: int, token: Path | None) -> NodePlan:
    """A node that begins a cluster. Makes the token if there is none.

    Raises:
        SettingsError: the host is no address of this machine, or no file is named.
    """
    found = require_own(resolve(host or LOOPBACK))
    if token is not None and not token.exists():
        token.parent.mkdir(parents=True, exist_ok=True)
        write_ray_token(token)
    return NodePlan(found, Address(found, port), is_head=True, token=read_ray_token(token))


def plan_joiner(cluster: str, host: str | None, token: Path | None) -> NodePlan:
    """A node that joins a cluster. Raises SettingsError if the token is not there, or an address cannot be."""
    address = Address.parse(cluster)
    path = read_ray_token(token)
    found = require_own(resolve(host) if host else find_own_address(address))
    return NodePlan(found, address, is_head=False, token=path)


def environment(plan: NodePlan, scratch: Path) -> dict[str, str]:
    """What a node's processes read, on top of what this process has."""
    unlimited = ServingSettings.model_fields
    is_beside_haproxy = plan.host == plan.cluster.host
    return {
        **serve_environment(
            scratch, SERVE_PORTS, unlimited["max_message_bytes"].default, unlimited["max_in_flight"].default
        ),
        **ray_authentication(plan.token),
        **_recovery(),
        # By Ray's own calls, which need the token, not by Serve's gRPC, which needs none.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
        # The head's own replicas are asked at the loopback address.
        ray_internals.HOST_VARIABLE: LOOPBACK if is_beside_haproxy else plan.host,
        NODE_VARIABLE: plan.name,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(scratch / "haproxy"),
        **loopback_environment(plan.host),
    }


def _recovery() -> dict[str, str]:
    """How soon a node that ended is noticed. One that is only slow is given up after three looks of two seconds."""
    defaults = {
        "RAY_health_check_initial_delay_ms": "2000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


def run(plan: NodePlan, tell: Callable[[str], None]) -> None:
    """Is a node until SIGTERM or SIGINT, in this process and those it starts; none of them outlives it.

    Args:
        tell: called with a line when the node is up.

    Raises:
        SettingsError: the token is not the cluster's.
        ServiceError: no cluster answers, the node does not start, or one of its processes ended.
    """
    stopping = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="ath-", dir="/tmp", ignore_cleanup_errors=True) as scratch,
        _signals(stopping),
    ):
        os.environ.update(environment(plan, Path(scratch)))
        os.environ.pop("RAY_AUTH_TOKEN", None)
        wrap_haproxy(Path(scratch, "haproxy"), ())
        if not plan.is_head:
            require_cluster(plan.cluster, _WAIT_S)
        node = _start(plan, Path(scratch))
        try:
            _catch_signals(stopping)
            tell(f"node {plan.host} of the cluster {plan.cluster} is up")
            while not stopping.wait(_POLL_S):
                if ended := [kind for kind, _ in node.dead_processes()]:
                    raise ServiceError(f"Ray's {', '.join(ended)} ended on node {plan.host}; start the node again")
        finally:
            node.kill_all_processes(check_alive=False, allow_graceful=not stopping.is_set(), wait=True)


def _start(plan: NodePlan, scratch: Path) -> Any:
    from ray._private.node import Node
    from ray._private.parameter import RayParams
    from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR

    os.environ[WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = ray_internals.HOOK
    leave_out_what_nobody_asks()
    first = plan.first_port
    parameters = RayParams(
        node_ip_address=plan.host,
        node_name=plan.name,
        node_manager_port=first,
        object_manager_port=first + 1,
        runtime_env_agent_port=first + 2,
        metrics_agent_port=first + 3,
        metrics_export_port=first + 4,
        dashboard_agent_listen_port=first + 5,
        min_worker_port=first + _FIRST_WORKER,
        max_worker_port=first + PORTS_OF_A_NODE - 1,
        object_store_memory=plan.object_store_mib * 1024 * 1024,
        include_dashboard=False,
        temp_dir=str(scratch / "r"),
        gcs_server_port=plan.cluster.port if plan.is_head else None,
        gcs_address=None if plan.is_head else str(plan.cluster),
    )
    try:
        return Node(parameters, head=plan.is_head, shutdown_at_exit=True, spawn_reaper=True)
    except Exception as error:
        raise ServiceError(f"node {plan.host} does not start: {error}") from error


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    """Handlers of this process' own, given back at the end."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _catch_signals(stopping: threading.Event) -> None:
    # Only now: Ray sets handlers of its own when it starts.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopping.set())
