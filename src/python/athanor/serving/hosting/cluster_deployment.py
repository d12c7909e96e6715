"""A project's model on a cluster: deployed from any of its nodes, changed while it answers, and taken away again."""

import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from athanor.cluster.addresses import Address, is_own, loopback_environment, require_cluster
from athanor.cluster.token import ray_authentication
from athanor.errors import NotFoundError, ServiceError, SettingsError
from athanor.features.features import Model
from athanor.progress import Progress
from athanor.projects import load
from athanor.release.store import ReleaseStore
from athanor.serving.access.token_file import local_token
from athanor.serving.answering.variants import prove_releases
from athanor.serving.hosting import local_ray
from athanor.serving.setup.paths import ServicePlace, ServiceState
from athanor.serving.setup.settings import ServingSettings
from athanor.system.atomic import replace_file

# One on each of two machines: either may go.
DEFAULT_REPLICAS: Final = 2

_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - what is looked for


def deploy(settings: ServingSettings, address: str, token: Path | None, progress: Progress) -> ServiceState:
    """Deploys a project's champion, or changes how it is deployed, and returns when it answers. No request is lost.

    Args:
        address: `host:port` of the cluster.
        token: file of Ray's token.

    Raises:
        SettingsError: the token is not the cluster's, no node of it runs here, or another project or doors are there.
        NotFoundError, ReleaseError: there is no champion that could answer.
        ServiceError: the cluster does not answer, or its replicas do not start; says why.
    """
    place, found = ServicePlace.of(settings), Address.parse(address)
    if place.is_held():
        raise SettingsError(f"a service of {settings.project} runs from {place.folder}; stop it by `serve down`")
    prove_releases(load(settings.project, "model", Model), ReleaseStore(settings.store), settings.require_signature)
    with progress.step("Deploy") as advance, connected(found, token) as ray:
        _check_what_is_there(settings)
        _prepare(place, settings)
        hosts = sum(node["Alive"] for node in ray.nodes())
        try:
            local_ray.deploy(settings, settings.host, most_on_a_node(settings, hosts))
        except RuntimeError as error:
            raise ServiceError(f"the replicas did not start: {_explain(settings.project) or error}") from error
        host = found.host if settings.host in _EVERYWHERE else settings.host
        state = ServiceState(
            settings.project,
            pid=0,
            grpc=f"{host}:{settings.grpc_port}",
            http=f"{host}:{settings.http_port}",
            insecure=settings.insecure,
            cluster=str(found),
        )
        replace_file(place.state, json.dumps(asdict(state)).encode())
        advance(f"{settings.replicas} replicas on {hosts} nodes")
    return state


def undeploy(place: ServicePlace, address: str, token: Path | None, progress: Progress) -> None:
    """Takes a project away, after the requests it is answering, and closes the doors.

    Raises:
        SettingsError: the token is not the cluster's, or no node of it runs here.
        NotFoundError: the project is not deployed there.
        ServiceError: the cluster does not answer.
    """
    found = Address.parse(address)
    with progress.step("Undeploy"), connected(found, token):
        if place.project not in _applications():
            place.state.unlink(missing_ok=True)
            raise NotFoundError(f"{place.project} is not deployed on the cluster {found}")
        place.state.unlink(missing_ok=True)
        local_ray.undeploy()


@contextmanager
def connected(address: Address, token: Path | None) -> Iterator[Any]:
    """Ray, connected to a cluster through a node of it that runs here. Ray must not have been imported before.

    Raises:
        SettingsError: the token is not the cluster's, or no node of it runs here.
        ServiceError: the cluster does not answer.
    """
    os.environ.update(
        {**local_ray.driver_environment(), **ray_authentication(token), **loopback_environment(address.host)}
    )
    os.environ.pop("RAY_AUTH_TOKEN", None)
    require_cluster(address)
    import ray

    try:
        _join(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, address: Address) -> None:
    node = _find_node_here(address)
    try:
        ray.init(
            address=str(address),
            _node_ip_address=node,
            namespace="serve",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        # Ray looks for the node among the processes that it sees: those of another container it does not.
        raise SettingsError(
            f"no process of the node {node} of the cluster {address} is seen from here: {error}; deploy where the node"
            " runs, in a container with its processes and its /tmp"
        ) from None


def _find_node_here(address: Address) -> str:
    """The address of a node of the cluster on this machine; the head's, where there are several."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    nodes = GcsClient(address=str(address)).get_all_node_info().values()
    # 0 is Ray's number for a node that lives.
    here = [node for node in nodes if node.state == 0 and is_own(node.node_manager_address)]
    if not here:
        raise SettingsError(
            f"no node of the cluster {address} runs on this machine; deploy from one, or start one by"
            f" `node --join {address}`"
        )
    return str(max(here, key=lambda node: node.is_head_node).node_manager_address)


def most_on_a_node(settings: ServingSettings, hosts: int) -> int | None:
    """Most replicas on a node, so that all find a place when one node goes; None for any number."""
    replicas = max(settings.replicas, settings.max_replicas or 0)
    return math.ceil(replicas / (hosts - 1)) if hosts > 1 and replicas > 1 else None


def _applications() -> dict[str, Any]:
    from ray import serve

    return dict(serve.status().applications)


def _explain(project: str) -> str:
    application = _applications().get(project)
    if application is None:
        return ""
    return "\n".join([application.message, *(each.message for each in application.deployments.values())]).strip()


def _check_what_is_there(settings: ServingSettings) -> None:
    """Serve would answer both projects at one door, and leave the doors where they are without a word."""
    from ray.serve.context import _get_global_client
    from ray.serve.exceptions import RayServeException

    try:
        client = _get_global_client()
    except RayServeException:
        return
    if client is None:
        return
    if others := _applications().keys() - {settings.project}:
        raise SettingsError(f"{', '.join(sorted(others))} is deployed there; a cluster serves one project: undeploy it")
    told = client.http_config
    if (told.host, told.port) != (settings.host, settings.http_port):
        raise SettingsError(
            f"the doors are open at {told.host}:{told.port}, not {settings.host}:{settings.http_port}; undeploy first"
        )


def _prepare(place: ServicePlace, settings: ServingSettings) -> None:
    if settings.project not in _applications_if_any():
        for left_by_the_last in (place.replicas, place.metrics):
            shutil.rmtree(left_by_the_last, ignore_errors=True)
    if not settings.insecure:
        local_token(place.folder, place.project)
    replace_file(place.settings, settings.model_dump_json(indent=2, exclude_none=True).encode())


def _applications_if_any() -> dict[str, Any]:
    from ray.serve.exceptions import RayServeException

    try:
        return _applications()
    except RayServeException:
        return {}
