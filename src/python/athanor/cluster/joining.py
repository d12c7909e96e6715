"""Joining a Ray cluster that runs already, by a node of it on this machine."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from athanor.cluster import ray_environment, ray_internals
from athanor.cluster.addresses import Address, is_local
from athanor.cluster.ray_internals import ClusterNode
from athanor.cluster.token import find_ray_token
from athanor.errors import ServiceError, SettingsError

_CONNECT_S: Final = 2.0
_GRPC_S: Final = 5.0
_ANSWER_S: Final = 60.0
_POLL_S: Final = 0.5


@contextmanager
def joined_ray(
    address: Address, token_file: Path | None, variables: Mapping[str, str], namespace: str | None = None
) -> Iterator[None]:
    """Connects to a cluster until the context ends. Ray must not have been imported before.

    Args:
        address: of the head.
        token_file: holds the cluster's token; see `find_ray_token`.
        variables: what this program says to Ray beside what joining needs, as `ray_environment` has them.

    Raises:
        SettingsError: there is no token, the cluster refuses it, or no node of the cluster runs here.
        ServiceError: nothing answers there, or not as Ray of this version does.
    """
    ray_internals.require_known_version()
    token = find_ray_token(token_file)
    ray_environment.export({**variables, **ray_environment.driver(address.host, token)})
    node = _find_node_here(address, require_cluster(address, token))
    import ray

    try:
        _connect(address, node, namespace)
        yield
    finally:
        ray.shutdown()


def require_cluster(address: Address, token: Path, wait_s: float = 0.0) -> list[ClusterNode]:
    """Returns the cluster's nodes if it answers and accepts the token, which must have been exported.

    Args:
        wait_s: how long it may take to come up.

    Raises:
        SettingsError: it refuses the token.
        ServiceError: nothing answers there, or not as Ray does.
    """
    _wait_for_listener(address, wait_s)
    _require_grpc(address)
    from ray.exceptions import AuthenticationError

    try:
        return ray_internals.find_nodes(address, _ANSWER_S)
    except AuthenticationError:
        raise SettingsError(
            f"the cluster {address} refuses the token in {token}; copy the head's token file there"
        ) from None
    except Exception as error:
        raise ServiceError(f"what answers at {address} is not a Ray head: {error}") from error


def _wait_for_listener(address: Address, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((address.host, address.port), _CONNECT_S).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ServiceError(f"no Ray head listens at {address}: {error}; start it by `node --head`") from None
            time.sleep(_POLL_S)
        else:
            return


def _require_grpc(address: Address) -> None:
    """Ray itself would ask whatever listens there for 40 s."""
    import grpc

    with grpc.insecure_channel(str(address)) as channel:
        try:
            grpc.channel_ready_future(channel).result(_GRPC_S)
        except grpc.FutureTimeoutError:
            raise ServiceError(
                f"what listens at {address} is not a Ray head: it does not speak gRPC; give the head's port"
            ) from None


def _find_node_here(address: Address, nodes: list[ClusterNode]) -> str:
    """The address of a node on this machine; of the head, if it is one of several."""
    here = [node for node in nodes if is_local(node.host)]
    if not here:
        raise SettingsError(
            f"no node of the cluster {address} runs on this machine; run the command on a node, or start one here by "
            f"`node --join {address}`"
        )
    return max(here, key=lambda node: node.is_head).host


def _connect(address: Address, node: str, namespace: str | None) -> None:
    try:
        ray_internals.connect(address, node, namespace)
    except ConnectionError as error:
        # Ray looks for the node among the processes that it sees, and sees none of another container.
        raise SettingsError(
            f"the processes of node {node} of the cluster {address} cannot be seen from here: {error}; run the command "
            "where the node runs, in a container with its processes and its /tmp"
        ) from None
    except RuntimeError as error:
        raise ServiceError(f"the cluster {address} cannot be joined: {error}") from error
