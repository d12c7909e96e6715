"""The demo, as a newcomer runs it: once in an empty home, leaving its service running, and again in the same home."""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from support.commands import run
from support.processes import find_descendants, find_session, list_processes, nothing_survives, wait_until

from athanor.home import Home
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic

_DEMO_TIMEOUT_S: Final = 420.0
_METRICS: Final = ("roc_auc", "average_precision", "brier_score", "log_loss")


@dataclass(frozen=True)
class _Runs:
    """Output and remains of two demos in one home.

    Attributes:
        first_table: of the first run, for people; it kept its service.
        first_progress: its progress output.
        first_was_ready: whether its service answered after it had ended.
        first_left: processes of its service alive after `serve down`.
        first_traffic: what answered then.
        second: result of the second run, for machines.
        second_left: what was alive after it.
    """

    home: Home
    first_table: str
    first_progress: str
    first_was_ready: bool
    first_left: list[str]
    first_traffic: Traffic
    second: dict[str, Any]
    second_left: list[str]


def _demo(home: Home, *flags: str) -> tuple[str, str]:
    done = run("app", "demo", "--home", home.path, *flags, timeout_s=_DEMO_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def _stop_service(home: Home) -> tuple[bool, list[str]]:
    """Whether the running service answers, and its processes still alive after it was stopped."""
    status = run("app", "serve", "status", "flight_delay", "--home", home.path, "--json")
    assert status.returncode == 0, status.stderr
    service = json.loads(status.stdout)["service"]
    with urllib.request.urlopen(f"http://{service['http']}/readyz", timeout=10) as answer:
        is_ready = answer.status == 200
    started = find_session(service["pid"])
    down = run("app", "serve", "down", "flight_delay", "--home", home.path)
    assert down.returncode == 0, down.stderr
    return is_ready, [process.command for process in started & set(list_processes())]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Runs]:
    home = Home(tmp_path_factory.mktemp("demo") / "home")
    with nothing_survives():
        table, progress = _demo(home, "--keep")
        was_ready, left = _stop_service(home)
        traffic = ReleaseStore(home.store).read_traffic("flight_delay")
        second, _ = _demo(home, "--json")
        # Processes that end when a pipe closes may need a moment.
        wait_until(lambda: not find_descendants(os.getpid()), timeout_s=5)
        second_left = [process.command for process in find_descendants(os.getpid())]
        yield _Runs(home, table, progress, was_ready, left, traffic, json.loads(second), second_left)


def _row(table: str, name: str) -> str:
    """The cells of a table's row beside its name."""
    found = re.search(rf"^[│┃]\s*{re.escape(name)}\s*[│┃](.*)[│┃]\s*$", table, re.MULTILINE)
    assert found, f"no row {name!r} in\n{table}"
    return found[1].strip()


def test_it_ends_with_a_table_of_all_that_was_promised(runs: _Runs) -> None:
    table = runs.first_table
    assert _row(table, "rows in") == "336,776"
    assert _row(table, "rows out") == "327,346"
    assert _row(table, "rejected, cancelled") == "8,255"
    assert _row(table, "rejected, diverted") == "1,175"
    assert _row(table, "version") == "0"
    assert f"Release {runs.first_traffic.champion.semantic_version}" in table
    for metric in _METRICS:
        assert re.fullmatch(r"0\.\d{4}\s*│\s*0\.\d{4}", _row(table, metric))
    assert len(re.findall(r"\d+\.\d%\s*│\s*(?:late|on time)\s*│", table)) == 3
    assert re.fullmatch(r"\d+\.\d\d ms", _row(table, "median"))
    assert re.fullmatch(r"\d+\.\d\d ms", _row(table, "99th percentile"))
    assert _row(table, "REST agrees") == "yes"
    for place in ("raw tables", "dataset", "release", "registry", "release store", "service log"):
        assert _row(table, place)


def test_it_tells_digests_in_full(runs: _Runs) -> None:
    second = runs.second
    in_one_line = re.sub(r"[\s│]", "", runs.first_table)
    assert second["snapshot"]["digest"] in in_one_line
    assert second["release"]["digest"] in in_one_line


def test_it_shows_every_step(runs: _Runs) -> None:
    # A terminal of unknown width shortens them.
    for step in (
        "Ingest raw",
        "Transform and",
        "Sort, digest",
        "Commit the",
        "Search",
        "Evaluate",
        "Gates",
        "Compile to",
    ):
        assert step in runs.first_progress


def test_it_keeps_the_service_when_told_to_and_says_how_to_call_and_stop_it(runs: _Runs) -> None:
    assert runs.first_was_ready
    for words in ("grpcurl", "curl http://127.0.0.1:", "serve down flight_delay"):
        assert words in runs.first_table
    assert not runs.first_left


def test_its_result_for_machines_is_complete(runs: _Runs) -> None:
    result = runs.second
    snapshot = result["snapshot"]
    assert (snapshot["rows_in"], snapshot["rows_out"]) == (336_776, 327_346)
    assert snapshot["rejected"] == {"cancelled": 8_255, "diverted": 1_175}
    assert re.fullmatch("[0-9a-f]{64}", snapshot["digest"])
    assert re.fullmatch("[0-9a-f]{64}", result["release"]["digest"])
    assert result["home"] == str(runs.home.path)
    assert result["service"] is None


def test_the_model_is_better_than_the_baseline(runs: _Runs) -> None:
    metrics, baseline = runs.second["metrics"], runs.second["baseline"]
    assert metrics.keys() == baseline.keys() == set(_METRICS)
    assert metrics["roc_auc"] > baseline["roc_auc"] + 0.03
    assert metrics["average_precision"] > baseline["average_precision"] + 0.03
    assert metrics["brier_score"] < baseline["brier_score"]
    assert metrics["log_loss"] < baseline["log_loss"]


def test_the_service_answered_for_three_real_flights(runs: _Runs) -> None:
    calls = runs.second["calls"]
    assert len(calls["flights"]) == 3
    for flight in calls["flights"]:
        assert 0 < flight["late_probability"] < 1
        assert flight["arrived_late"] in (True, False)
        assert flight["scheduled_departure"] >= "2013-10-01"
        assert flight["from"] in ("EWR", "JFK", "LGA")
    assert calls["rest_agrees"] is True
    assert 0 < calls["median_ms"] <= calls["p99_ms"]


def test_a_second_run_makes_nothing_new(runs: _Runs) -> None:
    second = runs.second
    assert second["snapshot"]["new"] is False
    assert second["snapshot"]["version"] == 0
    assert second["release"] == {
        "digest": runs.first_traffic.champion.digest,
        "semantic_version": runs.first_traffic.champion.semantic_version,
        "new": False,
    }
    assert ReleaseStore(runs.home.store).read_traffic("flight_delay") == runs.first_traffic


def test_everything_it_writes_lies_in_the_home(runs: _Runs) -> None:
    home = {path.name for path in runs.home.path.iterdir()}
    assert home == {"raw", "datasets", "searches", "candidates", "registry", "store", "service"}
    assert not Path(".athanor").exists()
    assert not Path("mlruns").exists()


def test_it_leaves_no_process(runs: _Runs) -> None:
    assert not runs.second_left
    assert run("app", "serve", "status", "flight_delay", "--home", runs.home.path).returncode == 2
