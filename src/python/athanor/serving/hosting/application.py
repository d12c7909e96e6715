"""The Serve application of a service on a running Ray, and the Ray of one node that a service brings with it."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from athanor.cluster import ray_environment, ray_internals
from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.script import wait_for_haproxy, write_haproxy_script
from athanor.cluster.haproxy.serve_haproxy import LOOPBACK
from athanor.cluster.local import local_ray
from athanor.cluster.ray_environment import ServePorts
from athanor.cluster.ray_internals import RunningNode
from athanor.serving.setup.ports import INNER_PORTS, find_free_ports
from athanor.serving.setup.settings import CLOSING_S, MAX_REPLICAS, ServingSettings

NAMESPACE: Final = "serve"
# What Serve calls in each process that has a gRPC server.
GRPC_SERVICES: Final = "athanor.serving.doors.grpc.add_services"

_OBJECT_STORE_BYTES: Final = 80 * 1024 * 1024
# HAProxy knows no longer time than some weeks.
_LONGEST_ANSWER_S: Final = 86_400.0


def find_serve_ports() -> ServePorts:
    """Finds free ports, so that several services can run on one machine."""
    first = find_free_ports(ServePorts.OTHERS + 2 * MAX_REPLICAS, INNER_PORTS)
    replicas = first + ServePorts.OTHERS
    return ServePorts(first, replicas, replicas + MAX_REPLICAS, MAX_REPLICAS)


@contextmanager
def serving_ray(scratch: Path, settings: ServingSettings) -> Iterator[RunningNode]:
    """Runs Ray for the service until the context ends. Ray must not have been imported before.

    Args:
        scratch: folder of `scratch_folder`.
    """
    variables = ray_environment.serve(
        scratch, find_serve_ports(), settings.max_message_bytes, settings.max_in_flight, os.cpu_count() or 1
    )
    doors = (settings.host, str(settings.http_port), str(settings.grpc_port))
    write_haproxy_script(Path(variables[ray_environment.HAPROXY_VARIABLE]), doors, limit_doors(settings))
    with local_ray(
        scratch,
        variables,
        object_store_bytes=_OBJECT_STORE_BYTES,
        # Ray does not count replicas by it, and starts no workers ahead of them.
        num_cpus=0,
        namespace=NAMESPACE,
        preload="athanor.serving.replica.deployment",
    ) as node:
        yield node


def limit_doors(settings: ServingSettings) -> DoorLimits:
    """The bounds of the doors by a service's settings."""
    answer_s = min(settings.max_deadline_s, _LONGEST_ANSWER_S)
    return DoorLimits(
        settings.max_connections,
        settings.max_connections_per_address,
        answer_s,
        requires_token=not settings.insecure,
    )


def deploy(settings: ServingSettings, host: str = LOOPBACK, most_on_a_node: int | None = None) -> None:
    """Deploys the service on the running Ray and returns when it answers.

    Args:
        host: of the doors, as Serve has it. A script of `write_haproxy_script` that has doors binds those instead.
        most_on_a_node: replicas; None for any number.

    Raises:
        RuntimeError: Serve's, for replicas that did not start.
    """
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from athanor.serving.replica.deployment import bind

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(
        http_options={"host": host, "port": settings.http_port},
        grpc_options={
            "port": settings.grpc_port,
            "grpc_servicer_functions": [GRPC_SERVICES],
            # Ours asks for a token.
            "enable_reflection": False,
        },
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
        proxy_location="HeadOnly",
    )
    serve.run(bind(settings, most_on_a_node), name=settings.service, route_prefix="/")


def undeploy(service: str, grace_s: float, scratch: Path | None = None) -> None:
    """Stops replicas and doors, after the requests that they have accepted.

    Args:
        grace_s: how long these requests may take. Others are refused meanwhile: HAProxy answers 503 and UNAVAILABLE.
        scratch: folder of `serving_ray`; None on a cluster.
    """
    from ray import serve

    deadline = time.monotonic() + grace_s + CLOSING_S
    # `shutdown` would kill HAProxy at once, and with it every request that a replica still answers.
    while service in applications() and time.monotonic() < deadline:
        with suppress(TimeoutError):
            serve.delete(service)
    if scratch is not None:
        wait_for_haproxy(scratch, deadline)
    serve.shutdown()  # type: ignore[no-untyped-call]


def applications() -> dict[str, Any]:
    """What Serve runs, by name; nothing where Serve does not run."""
    from ray import serve

    return dict(serve.status().applications) if ray_internals.find_doors() else {}


def explain(service: str) -> str:
    """Serve's reason why an application does not start; "" if it gives no reason."""
    application = applications().get(service)
    if application is None:
        return ""
    return "\n".join([application.message, *(each.message for each in application.deployments.values())]).strip()


def has_given_up(service: str) -> bool:
    """Whether Serve starts no more replicas of an application, since too many have failed in a row."""
    from ray.serve.schema import ApplicationStatus

    application = applications().get(service)
    return application is None or application.status == ApplicationStatus.DEPLOY_FAILED
