"""The deployment: one process that answers at all doors from one core."""

import gc
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ray import serve
from starlette.applications import Starlette

from athanor.cluster.ray_internals import limit_messages
from athanor.errors import AthanorError, SettingsError
from athanor.features.features import Model
from athanor.projects import load
from athanor.release.store import ReleaseStore
from athanor.serving.access.authentication import Authenticator
from athanor.serving.answering.batcher import Batcher
from athanor.serving.answering.core import Core
from athanor.serving.answering.follower import Follower
from athanor.serving.answering.variants import LoadedTraffic
from athanor.serving.doors.grpc import GrpcDoors, open_doors
from athanor.serving.doors.handler import Reception
from athanor.serving.doors.rest import build_rest
from athanor.serving.doors.shadow import Shadow
from athanor.serving.replica.autoscaling import Utilisation, autoscaling_config
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePlace, node_name
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.telemetry import Telemetry
from athanor.version import VERSION

_logger = logging.getLogger(__name__)


class Replica:
    """Answers for one model.

    Serve's decorators are applied in `bind`: a decorated class would be pickled by value, and each replica would then
    hold copies of what its methods name in their modules, such as the health servicer.
    """

    def __init__(self, settings: ServingSettings) -> None:
        """Loads before anything can ask: what fails here is never sent a request."""
        place = ServicePlace.of(settings)
        _check_shared(place, settings)
        # A node of a cluster starts before anybody says what a project may be sent.
        limit_messages(settings.max_message_bytes)
        store = ReleaseStore(settings.store)
        self._settings = settings
        began = time.monotonic()
        self._core = Core(load(settings.project, "model", Model), store, settings.max_rows, settings.require_signature)
        loading_s = time.monotonic() - began
        self._telemetry = Telemetry(settings, self._core.contract)
        self._statuses = StatusFolder(place.replicas)
        self._batcher = Batcher(self._core, settings.max_in_flight)
        self._shadow = Shadow(self._core, self._telemetry.shadow_dropped)
        tokens = None if settings.insecure else Authenticator(place.tokens)
        self._reception = Reception(self._core, self._batcher, self._shadow, tokens, self._telemetry)
        self._on_loaded(self._core.traffic, loading_s)
        self._follower = Follower(
            self._core,
            store,
            settings.require_signature,
            settings.traffic_poll_s,
            self._on_loaded,
            self._on_failed,
        )

    def __serve_build_asgi_app__(self) -> Starlette:
        return build_rest(self._reception, self._settings, self._on_start)

    @asynccontextmanager
    async def _on_start(self, app: Starlette) -> AsyncIterator[None]:
        self._utilisation = Utilisation()
        # What is there by now stays: the collector must not go through it again while requests wait.
        gc.collect()
        gc.freeze()
        await open_doors(GrpcDoors(self._reception, self._settings), self._core.contract.service)
        yield

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve asks of each replica, on the thread that answers; see `autoscaling`."""
        return self._utilisation.measure()

    def __del__(self) -> None:
        # Serve calls it after the last request. It may come before the end of the constructor.
        for part in ("_follower", "_shadow", "_batcher", "_telemetry"):
            if hasattr(self, part):
                getattr(self, part).close()
        if hasattr(self, "_statuses"):
            self._statuses.remove()

    def _on_loaded(self, loaded: LoadedTraffic, seconds: float) -> None:
        for variant in loaded.variants:
            self._telemetry.loaded(
                variant.name, variant.semantic_version, variant.digest, seconds, loaded.traffic.revision
            )
        self._statuses.write(loaded)
        named = ", ".join(f"{variant.name} {variant.semantic_version}" for variant in loaded.variants)
        _logger.info("answers by traffic revision %s: %s", loaded.traffic.revision, named)

    def _on_failed(self, error: AthanorError) -> None:
        self._telemetry.load_failed(self._core.traffic.traffic.revision, error)
        self._statuses.write(self._core.traffic, error)
        _logger.error("stays at traffic revision %s: %s", self._core.traffic.traffic.revision, error)


def _check_shared(place: ServicePlace, settings: ServingSettings) -> None:
    """Without its tokens a replica would let nobody in, and answer each request with that."""
    if not settings.insecure and not place.tokens.exists():
        raise SettingsError(
            f"{place.tokens} is not there on node {node_name() or 'here'}; on a cluster the home is a folder that all"
            " nodes share, under the same path"
        )


def bind(settings: ServingSettings, most_on_a_node: int | None = None) -> Any:
    """The Serve application. Replicas stay when nothing but their number changes.

    Args:
        most_on_a_node: replicas; None for any number.
    """
    each = settings.model_copy(update={"replicas": 1, "max_replicas": None})
    scaling = autoscaling_config(settings)
    number: dict[str, Any] = {"autoscaling_config": scaling} if scaling else {"num_replicas": settings.replicas}
    if most_on_a_node:
        number["max_replicas_per_node"] = most_on_a_node
    deployment: Any = serve.deployment(
        serve.ingress()(Replica),
        name=settings.project,
        **number,
        # Ours refuses first, with words.
        max_ongoing_requests=2 * settings.max_in_flight,
        # Replicas are bound by what the machine has, not by what Ray counts.
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=1,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=5,
    )
    # Serve makes one up for each deployment else, and puts new replicas in the place of all that answer.
    # On a cluster, settings change while it answers: their digest makes another version of another setting.
    digest = hashlib.sha256(each.model_dump_json().encode()).hexdigest()
    deployment._version = f"{VERSION}-{digest[:16]}"
    return deployment.bind(each)
