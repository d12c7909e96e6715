"""A replica's life: it opens its doors, drains, and closes its parts, each at the time when Serve says so."""

import asyncio
import errno
import json
import os
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private.replica import Replica as ServeReplica
from support.serving import FIRST, Stage

from athanor.errors import AbandonedError, AthanorError, SettingsError
from athanor.serving.doors.health import HEALTH
from athanor.serving.replica.deployment import Replica
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.settings import ServingSettings, make_settings
from projects.delays.model import MODEL


@pytest.fixture
def settings(stage: Stage, tmp_path: Path) -> ServingSettings:
    stage.direct(FIRST)
    store, folder = stage.store.location, tmp_path / "service"
    return make_settings(service=MODEL.name, models=(MODEL.name,), store=store, folder=folder, insecure=True)


@pytest.fixture(autouse=True)
def serve_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes back what a replica changes in Serve's class."""
    monkeypatch.setattr(ServeReplica, "perform_graceful_shutdown", ServeReplica.perform_graceful_shutdown)


def _run_replica(settings: ServingSettings, work: Callable[[], Awaitable[None]]) -> None:
    """Runs a replica as Serve does: its constructor, then its ASGI lifespan, on one event loop."""

    async def live() -> None:
        app = Replica(settings).__serve_build_asgi_app__()
        async with app.router.lifespan_context(app):
            await work()

    asyncio.run(live())


class _Draining(ServeReplica):
    """Serve's own replica. Instead of draining, it notes what the health reports by then."""

    def __init__(self, was_serving: list[bool]) -> None:
        self._graceful_shutdown_task = None
        self._event_loop = asyncio.get_running_loop()
        self._was_serving = was_serving

    async def _perform_graceful_shutdown(self) -> None:
        self._was_serving.append(HEALTH.is_serving)


def test_its_health_follows_its_life(settings: ServingSettings) -> None:
    seen: list[bool] = []

    async def work() -> None:
        seen.append(HEALTH.is_serving)

    assert not HEALTH.is_serving
    _run_replica(settings, work)
    assert (seen, HEALTH.is_serving) == ([True], False)


def test_it_reports_that_it_drains_before_serve_stops_its_servers(settings: ServingSettings) -> None:
    was_serving: list[bool] = []

    async def work() -> None:
        draining: Any = _Draining(was_serving)
        # The controller asks again when it restarts.
        for _ in range(2):
            await draining.perform_graceful_shutdown()

    _run_replica(settings, work)
    assert was_serving == [False]


def test_a_request_in_flight_holds_up_the_end_of_its_servers(settings: ServingSettings) -> None:
    was_serving: list[bool] = []
    replica = Replica(settings)

    async def work() -> None:
        app = replica.__serve_build_asgi_app__()
        async with app.router.lifespan_context(app):
            request = replica._telemetry.begin("rest", "a", None, None)
            draining: Any = _Draining(was_serving)
            drain = asyncio.create_task(draining.perform_graceful_shutdown())
            await asyncio.sleep(0.8)
            assert not was_serving
            request.refused(AbandonedError("it ends"))
            await drain

    asyncio.run(work())
    assert was_serving == [False]


def test_a_request_that_does_not_end_holds_it_up_for_the_grace_period_alone(settings: ServingSettings) -> None:
    was_serving: list[bool] = []
    replica = Replica(settings.model_copy(update={"grace_period_s": 0.1}))

    async def work() -> None:
        app = replica.__serve_build_asgi_app__()
        async with app.router.lifespan_context(app):
            request = replica._telemetry.begin("rest", "a", None, None)
            draining: Any = _Draining(was_serving)
            await draining.perform_graceful_shutdown()
            request.refused(AbandonedError("it ends"))

    asyncio.run(work())
    assert was_serving == [False]


def test_its_end_closes_every_part_and_removes_its_status(settings: ServingSettings) -> None:
    statuses = StatusFolder(ServicePaths.of(settings).replicas)
    names = {"traffic", "telemetry"}

    async def work() -> None:
        assert [status.pid for status in statuses.read()] == [os.getpid()]
        assert names <= {thread.name for thread in threading.enumerate()}

    _run_replica(settings, work)
    assert statuses.read() == []
    assert not names & {thread.name for thread in threading.enumerate()}


def test_its_utilisation_can_be_measured_before_it_starts(settings: ServingSettings) -> None:
    replica: Any = Replica(settings)
    assert set(asyncio.run(replica.record_autoscaling_stats())) == {"utilisation"}
    replica._close()


def test_it_does_not_start_where_its_tokens_are_missing(settings: ServingSettings) -> None:
    secured = settings.model_copy(update={"insecure": False})
    with pytest.raises(SettingsError, match="is missing on node here; on a cluster, all nodes must share the home"):
        Replica(secured)


def test_why_it_does_not_start_is_in_the_log_and_the_status(settings: ServingSettings, stage: Stage) -> None:
    place = ServicePaths.of(settings)
    digest = stage.store.read_traffic(MODEL.name).require_champion().digest
    shutil.rmtree(stage.store.read(MODEL.name, digest).location)
    with pytest.raises(AthanorError, match=digest):
        Replica(settings)
    of_model, line = [json.loads(line) for line in place.log.read_text().splitlines()]
    assert of_model["message"].startswith("delays cannot be served: ")
    assert line["level"] == "error"
    assert line["message"].startswith("a replica does not start: ")
    assert digest in line["message"]
    failure = StatusFolder(place.replicas).read_start_failure()
    assert failure is not None
    assert digest in failure.reason


def test_it_answers_where_its_status_cannot_be_written(
    settings: ServingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StatusFolder, "write_again", fail)
    seen: list[bool] = []

    async def work() -> None:
        seen.append(HEALTH.is_serving)

    _run_replica(settings, work)
    assert seen == [True]
    assert "cannot write the status of this replica" in ServicePaths.of(settings).log.read_text()
