"""A node of a cluster, in the foreground: Ray's own processes, whose workers are of this binary.

Which ports a node uses is in `docs/cluster.md`: keep the two together.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from athanor.cluster import ray_environment, ray_internals
from athanor.cluster.addresses import Address, find_local_address, require_local, resolve
from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.script import write_haproxy_script
from athanor.cluster.haproxy.serve_haproxy import LOOPBACK
from athanor.cluster.joining import joined_ray, require_cluster
from athanor.cluster.ray_environment import ServePorts
from athanor.cluster.ray_internals import RunningNode
from athanor.cluster.scratch import scratch_folder
from athanor.cluster.token import find_ray_token, write_ray_token
from athanor.errors import AthanorError, ServiceError, SettingsError
from athanor.serving.hosting import application
from athanor.serving.setup.paths import NODE_VARIABLE
from athanor.serving.setup.settings import MAX_REPLICAS, ServingSettings

DEFAULT_FIRST_PORT: Final = 20_000
DEFAULT_OBJECT_STORE_MIB: Final = 256
# The same on all nodes: the head assigns them.
SERVE_PORTS: Final = ServePorts(others=19_200, replica_http=19_000, replica_grpc=19_100, replicas=MAX_REPLICAS)

# A node starts before a service's settings are known: `deploy` brings them.
_LIMITS: Final = DoorLimits(answer_s=3600)

_WAIT_S: Final = 60.0
_POLL_S: Final = 0.5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodePlan:
    """How a node is to run.

    Attributes:
        host: IPv4 address by which the other nodes reach it.
        cluster: address of the head; its own, if it is the head.
        token: file with Ray's token.
        first_port: of its `PORTS_OF_A_NODE` ports.
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
    """Plans a node that begins a cluster. Makes the token if its file is not there.

    Raises:
        SettingsError: the host is not an IPv4 address of this machine, or no file is named.
    """
    found = _require_host(resolve(host or LOOPBACK))
    if token is not None and not token.exists():
        token.parent.mkdir(parents=True, exist_ok=True)
        write_ray_token(token)
    return NodePlan(found, Address(found, port), is_head=True, token=find_ray_token(token))


def plan_joiner(cluster: str, host: str | None, token: Path | None) -> NodePlan:
    """Plans a node that joins a cluster.

    Raises:
        SettingsError: the token is not there, the cluster's address is not one, or the host is not an IPv4 address of
            this machine.
    """
    address = Address.parse(cluster)
    path = find_ray_token(token)
    found = _require_host(resolve(host) if host else find_local_address(address))
    return NodePlan(found, address, is_head=False, token=path)


def _require_host(host: str) -> str:
    if ":" in host:
        raise SettingsError(f"a node that serves needs an IPv4 address, not {host}; give one by --host")
    return require_local(host)


def environment(plan: NodePlan, scratch: Path) -> dict[str, str]:
    """What a node's processes read, beside what this process has. Replicas limit messages by their own settings."""
    max_message_bytes, max_in_flight = (
        ServingSettings.model_fields[name].default for name in ("max_message_bytes", "max_in_flight")
    )
    is_beside_haproxy = plan.host == plan.cluster.host
    return {
        **ray_environment.serve(scratch, SERVE_PORTS, max_message_bytes, max_in_flight, os.cpu_count() or 1),
        **ray_environment.node(plan.host, plan.token),
        # HAProxy asks the replicas of its own machine at loopback.
        ray_environment.HOST_VARIABLE: LOOPBACK if is_beside_haproxy else plan.host,
        NODE_VARIABLE: plan.name,
    }


def run(plan: NodePlan, report: Callable[[str], None]) -> None:
    """Runs a node until SIGTERM or SIGINT, in this process and those it starts; none of them outlives it.

    Then its replicas first answer what they have accepted, and start on other nodes.

    Args:
        report: called with a line when the node is up.

    Raises:
        SettingsError: the cluster refuses the token.
        ServiceError: no cluster answers, the node does not start, or one of its processes ended.
    """
    ray_internals.require_known_version()
    stopping = threading.Event()
    with scratch_folder() as scratch, _restored_signal_handlers():
        variables = environment(plan, scratch)
        ray_environment.export(variables)
        write_haproxy_script(Path(variables[ray_environment.HAPROXY_VARIABLE]), (), _LIMITS)
        if not plan.is_head:
            require_cluster(plan.cluster, plan.token, _WAIT_S)
        node = _start(plan, scratch)
        try:
            # Only now: Ray sets handlers of its own when it starts.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda number, frame: stopping.set())
            report(f"node {plan.host} of the cluster {plan.cluster} is up")
            while not stopping.wait(_POLL_S):
                if ended := node.find_ended():
                    raise ServiceError(f"Ray's {', '.join(ended)} ended on node {plan.host}; start the node again")
            _drain(plan, node)
        finally:
            node.stop(graceful=not stopping.is_set())


def _drain(plan: NodePlan, node: RunningNode) -> None:
    """Lets replicas answer what they have accepted. With the head go the doors, and with them the service."""
    if not plan.is_head:
        node.drain()
        return
    grace_s = float(ServingSettings.model_fields["grace_period_s"].default)
    try:
        with joined_ray(plan.cluster, plan.token, ray_environment.SERVE, application.NAMESPACE):
            for service in application.applications():
                application.undeploy(service, grace_s)
    except AthanorError as error:
        _logger.warning("the head stops without draining: %s", error)


def _start(plan: NodePlan, scratch: Path) -> RunningNode:
    return ray_internals.start_node(
        plan.host,
        plan.name,
        plan.cluster,
        plan.first_port,
        plan.object_store_mib * 1024 * 1024,
        scratch,
        is_head=plan.is_head,
    )


@contextmanager
def _restored_signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
