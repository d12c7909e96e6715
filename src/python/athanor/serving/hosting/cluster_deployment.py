"""A service on a cluster: deploys it from any node, changes it while it answers, and undeploys it."""

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Final

from athanor.cluster import ray_internals
from athanor.cluster.addresses import Address
from athanor.cluster.haproxy.script import write_rules
from athanor.cluster.joining import joined_ray
from athanor.cluster.ray_environment import SERVE
from athanor.errors import NotFoundError, ServiceError, SettingsError
from athanor.progress import Progress
from athanor.serving.access.token_file import local_token
from athanor.serving.hosting import application
from athanor.serving.hosting.service import read_settings
from athanor.serving.setup.paths import ServicePaths, ServiceState
from athanor.serving.setup.repository import prove_models
from athanor.serving.setup.settings import ServingSettings
from athanor.system.atomic import replace_file

# One on each of two machines: either may go.
DEFAULT_REPLICAS: Final = 2
# For a worker to start on the head.
_LIMIT_S: Final = 60.0

_ALL_INTERFACES: Final = "0.0.0.0"  # noqa: S104 - what is looked for


def deploy(settings: ServingSettings, address: str, token: Path | None, progress: Progress) -> ServiceState:
    """Deploys a service, or changes how it is deployed, and returns when it answers. No request is lost.

    Args:
        address: of the cluster's head.
        token: file with Ray's token.

    Raises:
        SettingsError: the cluster refuses the token, no node of it runs here, or it has another service or doors.
        NotFoundError, ReleaseError: as `prove_models`.
        ServiceError: the cluster does not answer, or its replicas do not start; says why.
    """
    place, found = ServicePaths.of(settings), Address.parse(address)
    require_ipv4(settings)
    if place.is_held():
        raise SettingsError(f"the service {settings.service} runs from {place.folder}; stop it by `serve down`")
    prove_models(settings)
    with progress.step("Deploy") as advance, joined_ray(found, token, SERVE, application.NAMESPACE):
        _check_deployed(settings)
        _prepare(place, settings)
        bound_doors(settings)
        hosts = _count_nodes()
        try:
            application.deploy(settings, settings.host, most_on_a_node(settings, hosts))
        except RuntimeError as error:
            raise ServiceError(
                f"the replicas did not start: {application.explain(settings.service) or error}"
            ) from error
        host = found.host if settings.host == _ALL_INTERFACES else settings.host
        state = ServiceState(
            settings.service,
            settings.models,
            pid=0,
            grpc=str(Address(host, settings.grpc_port)),
            http=str(Address(host, settings.http_port)),
            insecure=settings.insecure,
            cluster=str(found),
        )
        replace_file(place.state, json.dumps(asdict(state)).encode())
        advance(f"{settings.replicas} replicas on {hosts} nodes")
    return state


def require_ipv4(settings: ServingSettings) -> None:
    """Raises SettingsError if the doors have an IPv6 address, which Serve does not give to HAProxy on a cluster."""
    if ":" in settings.host:
        raise SettingsError(f"the doors of a cluster need an IPv4 address, not {settings.host}; give one by --host")


def undeploy(place: ServicePaths, address: str, token: Path | None, progress: Progress) -> None:
    """Stops a service's replicas after the requests they are answering, and closes the doors.

    Raises:
        SettingsError: the cluster refuses the token, or no node of it runs here.
        NotFoundError: the service is not deployed there.
        ServiceError: the cluster does not answer.
    """
    found = Address.parse(address)
    with progress.step("Undeploy"), joined_ray(found, token, SERVE, application.NAMESPACE):
        is_deployed = place.service in application.applications()
        place.state.unlink(missing_ok=True)
        if not is_deployed:
            raise NotFoundError(f"the service {place.service} is not deployed on the cluster {found}")
        application.undeploy(place.service, _grace_s(place))


def _grace_s(place: ServicePaths) -> float:
    """What `deploy` was given; the default where another machine deployed it and this one sees no settings."""
    try:
        return read_settings(place).grace_period_s
    except SettingsError:
        return float(ServingSettings.model_fields["grace_period_s"].default)


def _count_nodes() -> int:
    import ray

    return sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]


def most_on_a_node(settings: ServingSettings, hosts: int) -> int | None:
    """Most replicas on a node, so that all have room when one node is lost; None for any number."""
    replicas = max(settings.replicas, settings.max_replicas or 0)
    return math.ceil(replicas / (hosts - 1)) if hosts > 1 and replicas > 1 else None


def _check_deployed(settings: ServingSettings) -> None:
    """Serve would answer for two services at one door, and would not move the doors, without an error."""
    doors = ray_internals.find_doors()
    if doors is None:
        return
    if others := application.applications().keys() - {settings.service}:
        raise SettingsError(
            f"the cluster runs the service {', '.join(sorted(others))} already; it runs one: undeploy that first, or"
            " change it by `serve deploy` with its --name"
        )
    if (doors.host, doors.port) != (settings.host, settings.http_port):
        raise SettingsError(
            f"the doors are at {doors}, not at {settings.host}:{settings.http_port}; undeploy to move them"
        )


def bound_doors(settings: ServingSettings) -> None:
    """Gives the settings' bounds to the head, where the doors are: it started before it knew a service.

    Raises:
        SettingsError: it may open too few files for them, or was not started by `node`.
    """
    import ray
    from ray.exceptions import RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    strategy = NodeAffinitySchedulingStrategy(ray_internals.find_head(), soft=False)
    write = ray.remote(write_rules).options(num_cpus=0, scheduling_strategy=strategy)
    try:
        ray.get(write.remote(application.limit_doors(settings)), timeout=_LIMIT_S)
    except RayTaskError as error:
        raise error.cause from None


def _prepare(place: ServicePaths, settings: ServingSettings) -> None:
    if settings.service not in application.applications():
        for stale in (place.replicas, place.metrics):
            shutil.rmtree(stale, ignore_errors=True)
    if not settings.insecure:
        local_token(place.folder, place.service)
    replace_file(place.settings, settings.model_dump_json(indent=2, exclude_none=True).encode())
