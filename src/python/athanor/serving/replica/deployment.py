"""The deployment: one process that answers at all doors, from one core."""

import asyncio
import gc
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from ray import serve
from starlette.applications import Starlette

from athanor.cluster.ray_internals import call_when_draining, limit_messages, set_version
from athanor.errors import AthanorError, SettingsError
from athanor.serving.access.authentication import Authenticator
from athanor.serving.doors.grpc import close_doors, open_doors
from athanor.serving.doors.handler import RequestHandler
from athanor.serving.doors.health import HEALTH
from athanor.serving.doors.models.served import ServedModels
from athanor.serving.doors.rest import build_rest
from athanor.serving.replica.autoscaling import Utilisation, autoscaling_config
from athanor.serving.replica.listener import ReplicaListener
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePaths, node_name
from athanor.serving.setup.repository import open_repository
from athanor.serving.setup.settings import CLOSING_S, ServingSettings
from athanor.serving.telemetry.logs import close_log, open_log
from athanor.serving.telemetry.telemetry import Telemetry
from athanor.version import VERSION

# How long no request must have been in flight: half a second, or more where the event loop is busy.
_QUIET_TURNS: Final = 10
_TURN_S: Final = 0.05

_logger = logging.getLogger(__name__)


class Replica:
    """Answers for the models of a service.

    `bind` applies Serve's decorators: Serve pickles a decorated class by value, and each replica would then hold copies
    of the globals that its methods use, such as the health servicer.
    """

    def __init__(self, settings: ServingSettings) -> None:
        """Loads everything first: a replica that fails here never gets a request."""
        place = ServicePaths.of(settings)
        self._grace_period_s = settings.grace_period_s
        self._statuses = StatusFolder(place.replicas)
        with _reported_failure(place, self._statuses):
            self._load(settings, place)

    def _load(self, settings: ServingSettings, place: ServicePaths) -> None:
        _check_shared(place, settings)
        # A node of a cluster starts before its service's message size is known.
        limit_messages(settings.max_message_bytes)
        self._telemetry = Telemetry(settings)
        served = ServedModels(self._telemetry, settings)
        self._listener = ReplicaListener(served, self._telemetry, self._statuses)
        try:
            self._repository = open_repository(settings, self._listener)
        except BaseException:
            self._telemetry.close()
            raise
        tokens = None if settings.insecure else Authenticator(place.tokens)
        self._handler = RequestHandler(served, self._repository, tokens, self._telemetry, settings)
        self._open_status()
        self._repository.follow(settings.traffic_poll_s, self._write_status_again)
        self._utilisation = Utilisation()

    def __serve_build_asgi_app__(self) -> Starlette:
        return build_rest(self._handler, HEALTH, self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Serve enters it before the first request, and leaves it after the last, when its servers are closed."""
        # Objects that exist by now stay: the collector must not go through them again while requests wait.
        gc.collect()
        gc.freeze()
        call_when_draining(self._drain)
        open_doors(self._handler)
        try:
            yield
        finally:
            self._close()

    async def _drain(self) -> None:
        """Reports that it drains; returns when no request is in flight any more, or the grace period is over."""
        HEALTH.drain()
        deadline = time.monotonic() + self._grace_period_s
        quiet = 0
        # Turns of the event loop: what HAProxy has sent before it forgot this replica is read between two of them.
        while quiet < _QUIET_TURNS and time.monotonic() < deadline:
            await asyncio.sleep(_TURN_S)
            quiet = 0 if self._telemetry.in_flight else quiet + 1

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve calls it on the thread that answers; see `autoscaling`."""
        return self._utilisation.measure()

    def _close(self) -> None:
        close_doors()
        # Models record what they still hold: telemetry closes last.
        for part in (self._repository, self._listener, self._handler.models, self._telemetry):
            part.close()
        self._statuses.remove()

    def _open_status(self) -> None:
        """A replica that cannot write its status, as on a full disk, answers all the same."""
        try:
            self._statuses.open()
        except OSError as error:
            _logger.error("cannot write the status of this replica: %s", error)

    def _write_status_again(self) -> None:
        with suppress(OSError):
            self._statuses.write_again()


@contextmanager
def _reported_failure(place: ServicePaths, statuses: StatusFolder) -> Iterator[None]:
    """Says in the log and the status why a replica does not start: Serve alone would know, and retries for ever."""
    try:
        yield
    except Exception as error:
        handler = open_log(place.log)
        # Serve tries again every few seconds.
        _logger.error("a replica does not start: %s", error, exc_info=not isinstance(error, AthanorError))
        close_log(handler)
        with suppress(OSError):
            statuses.write_start_failure(error)
        raise


def _check_shared(place: ServicePaths, settings: ServingSettings) -> None:
    """Without its tokens a replica would refuse every request."""
    if not settings.insecure and not place.tokens.exists():
        raise SettingsError(
            f"{place.tokens} is missing on node {node_name() or 'here'}; on a cluster, all nodes must share the home"
            " folder under the same path"
        )


def bind(settings: ServingSettings, most_on_a_node: int | None = None) -> Any:
    """The Serve application. If only the number of replicas changes, Serve keeps the running ones.

    Args:
        most_on_a_node: most replicas on one node; None for no limit.
    """
    each = settings.model_copy(update={"replicas": 1, "max_replicas": None})
    scaling = autoscaling_config(settings)
    number: dict[str, Any] = {"autoscaling_config": scaling} if scaling else {"num_replicas": settings.replicas}
    if most_on_a_node:
        number["max_replicas_per_node"] = most_on_a_node
    deployment: Any = serve.deployment(
        serve.ingress()(Replica),
        name=settings.service,
        **number,
        # The batcher refuses first, with an error of our own.
        max_ongoing_requests=2 * settings.max_in_flight,
        # The machine limits replicas, not Ray's count of processors.
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=1,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=settings.grace_period_s + CLOSING_S,
    )
    # The same settings keep the running replicas. On a cluster, settings change while the service answers.
    digest = hashlib.sha256(each.model_dump_json().encode()).hexdigest()
    set_version(deployment, f"{VERSION}-{digest[:16]}")
    return deployment.bind(each)
