"""`serve status` shows what each replica answers for, and ends with 1 where something fails."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from athanor.cli.serving.status import app
from athanor.home import Home
from athanor.release.traffic import Challenger, Served, Traffic
from athanor.serving.hosting import probe
from athanor.serving.replica.status import ModelStatus, ReplicaStatus
from athanor.serving.setup.paths import ServicePaths, ServiceState
from athanor.system.locks import acquire
from athanor.system.processes import own

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_DIGEST: Final = "a" * 64
_OF_DELAYS: Final = Traffic(
    model="delays",
    revision=7,
    champion=Served(digest=_DIGEST, semantic_version="1.0.0"),
    challenger=Challenger(digest=_DIGEST, semantic_version="2.0.0", weight=0.25),
    shadow=Served(digest=_DIGEST, semantic_version="3.0.0"),
    pinned=(Served(digest=_DIGEST, semantic_version="0.1.0"), Served(digest=_DIGEST, semantic_version="0.2.0")),
)
_OF_TAXI: Final = Traffic(model="taxi", revision=1, champion=Served(digest=_DIGEST, semantic_version="4.0.0"))

Shown = Callable[..., Result]


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Shows the status of a service that this process owns and whose doors answer: its models, a replica after another.

    Each model has its traffic and why it cannot be loaded.
    """
    monkeypatch.setattr(probe, "find_fault", lambda state: None)
    place = ServicePaths(Home(tmp_path).service, "front")
    place.replicas.mkdir(parents=True)
    place.settings.write_text("{}")
    state = ServiceState("front", ("d*", "taxi"), os.getpid(), grpc="h:1", http="h:2", insecure=True)
    place.state.write_text(json.dumps(asdict(state)))

    def show(*replicas: dict[str, tuple[Traffic | None, str | None]], json: bool = False) -> Result:
        for number, models in enumerate(replicas):
            held = {
                name: ModelStatus(traffic=traffic, failure=why, changed_at=_AT)
                for name, (traffic, why) in models.items()
            }
            path = place.replicas / f"{number}.json"
            path.write_text(ReplicaStatus(pid=4_000 + number, models=held).model_dump_json())
            running.enter_context(acquire(path.with_suffix(".lock")))
        form = ("--json",) if json else ()
        return CliRunner().invoke(app, ["--home", str(tmp_path), *form], env={"COLUMNS": "200"})

    with ExitStack() as running, own(place.lock):
        yield show


def _rows(shown: Result) -> list[list[str]]:
    """The cells of the table of replicas."""
    lines = shown.stdout.partition("Replicas")[2].splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_each_replica_and_model_has_a_row(status: Shown) -> None:
    shown = status({"taxi": (_OF_TAXI, None), "delays": (_OF_DELAYS, None)}, {"taxi": (_OF_TAXI, None)})
    assert shown.exit_code == 0
    assert "Service front" in shown.stdout
    assert "d*, taxi" in shown.stdout
    assert _rows(shown) == [
        ["4000", "delays", "7", "1.0.0", "2.0.0 (25%)", "3.0.0", "0.1.0, 0.2.0", ""],
        ["4000", "taxi", "1", "4.0.0", "", "", "", ""],
        ["4001", "taxi", "1", "4.0.0", "", "", "", ""],
    ]


def test_a_replica_without_a_model_says_so(status: Shown) -> None:
    shown = status({})
    assert shown.exit_code == 0
    assert _rows(shown) == [["4000", "none yet", "", "", "", "", "", ""]]


def test_a_model_that_cannot_be_loaded_is_a_failure_beside_others_that_answer(status: Shown) -> None:
    shown = status({"taxi": (_OF_TAXI, "it is damaged"), "delays": (None, "no file"), "rain": (_OF_TAXI, None)})
    assert shown.exit_code == 1
    assert _rows(shown) == [
        ["4000", "delays", "", "", "", "", "", "no file"],
        ["4000", "rain", "1", "4.0.0", "", "", "", ""],
        ["4000", "taxi", "1", "4.0.0", "", "", "", "it is damaged"],
    ]


def test_json_has_the_models_by_name(status: Shown) -> None:
    shown = json.loads(status({"taxi": (_OF_TAXI, None), "delays": (None, "no file")}, json=True).stdout)
    assert shown["service"]["service"] == "front"
    assert shown["service"]["models"] == ["d*", "taxi"]
    (replica,) = shown["replicas"]
    assert replica["models"]["delays"] == {"traffic": None, "failure": "no file", "changed_at": "2026-01-01T00:00:00Z"}
    assert replica["models"]["taxi"]["traffic"]["champion"]["semantic_version"] == "4.0.0"
