"""The demo, as a newcomer runs it: in an empty home, where it leaves its service running, and again on what it made."""

import json
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from support.commands import run
from support.demos import Demo, run_demo
from support.processes import nothing_survives

from athanor.home import Home
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic

_METRICS: Final = ("roc_auc", "average_precision", "brier_score", "log_loss")


@dataclass(frozen=True)
class _Again:
    """A second demo, in a home with all that the first one made; `result` is its output for machines."""

    home: Home
    result: dict[str, Any]


@pytest.fixture(scope="module")
def again(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> _Again:
    home = demo.copy_home(tmp_path_factory.mktemp("again") / "home")
    with nothing_survives():
        output, _ = run_demo(home, "--json")
    return _Again(home, json.loads(output))


@pytest.fixture(scope="module")
def traffic(demo: Demo) -> Traffic:
    return ReleaseStore(demo.home.store).read_traffic("flight_delay")


def _row(table: str, name: str) -> str:
    """The cells of a table's row beside its name."""
    found = re.search(rf"^[│┃]\s*{re.escape(name)}\s*[│┃](.*)[│┃]\s*$", table, re.MULTILINE)
    assert found, f"no row {name!r} in\n{table}"
    return found[1].strip()


def test_it_ends_with_a_table_of_all_that_was_promised(demo: Demo, traffic: Traffic) -> None:
    table = demo.table
    assert _row(table, "rows in") == "336,776"
    assert _row(table, "rows out") == "327,346"
    assert _row(table, "rejected, cancelled") == "8,255"
    assert _row(table, "rejected, diverted") == "1,175"
    assert _row(table, "version") == "0"
    assert f"Release {traffic.require_champion().semantic_version}" in table
    for metric in _METRICS:
        assert re.fullmatch(r"0\.\d{4}\s*│\s*0\.\d{4}", _row(table, metric))
    assert re.fullmatch(r"\d+\.\d%(\s*│\s*\d+\.\d%){2}", _row(table, "late_probability"))
    assert re.fullmatch(r"(yes|no)(\s*│\s*(yes|no)){2}", _row(table, "arrived_late"))
    assert re.fullmatch(r"\d+\.\d\d ms", _row(table, "median"))
    assert re.fullmatch(r"\d+\.\d\d ms", _row(table, "99th percentile"))
    assert _row(table, "REST agrees") == "yes"
    for place in ("raw tables", "dataset", "release", "registry", "release store", "service log"):
        assert _row(table, place)


def test_it_prints_whole_digests(demo: Demo, again: _Again) -> None:
    in_one_line = re.sub(r"[\s│]", "", demo.table)
    assert again.result["snapshot"]["digest"] in in_one_line
    assert again.result["release"]["digest"] in in_one_line


def test_it_shows_every_step(demo: Demo) -> None:
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
        assert step in demo.progress


def test_it_keeps_the_service_when_told_to_and_says_how_to_call_and_stop_it(demo: Demo) -> None:
    with urllib.request.urlopen(f"http://{demo.http}/readyz", timeout=10) as answer:
        assert answer.status == 200
    for words in ("grpcurl", "curl http://127.0.0.1:", "serve down flight_delay"):
        assert words in demo.table


def test_its_result_for_machines_is_complete(again: _Again) -> None:
    result = again.result
    snapshot = result["snapshot"]
    assert (snapshot["rows_in"], snapshot["rows_out"]) == (336_776, 327_346)
    assert snapshot["rejected"] == {"cancelled": 8_255, "diverted": 1_175}
    assert re.fullmatch("[0-9a-f]{64}", snapshot["digest"])
    assert re.fullmatch("[0-9a-f]{64}", result["release"]["digest"])
    assert result["home"] == str(again.home.path)
    assert result["service"] is None


def test_the_model_is_better_than_the_baseline(again: _Again) -> None:
    metrics, baseline = again.result["metrics"], again.result["baseline"]
    assert metrics.keys() == baseline.keys() == set(_METRICS)
    assert metrics["roc_auc"] > baseline["roc_auc"] + 0.03
    assert metrics["average_precision"] > baseline["average_precision"] + 0.03
    assert metrics["brier_score"] < baseline["brier_score"]
    assert metrics["log_loss"] < baseline["log_loss"]


def test_the_service_answered_for_three_real_flights(again: _Again) -> None:
    calls = again.result["calls"]
    assert len(calls["rows"]) == 3
    for each in calls["rows"]:
        assert 0 < each["answer"]["late_probability"] < 1
        assert each["outcome"] in (True, False)
        assert each["row"]["scheduled_departure"] >= "2013-10-01"
        assert each["row"]["origin"] in ("EWR", "JFK", "LGA")
    assert calls["rest_agrees"] is True
    assert 0 < calls["median_ms"] <= calls["p99_ms"]


def test_a_second_run_makes_nothing_new(again: _Again, traffic: Traffic) -> None:
    assert again.result["snapshot"]["new"] is False
    assert again.result["snapshot"]["version"] == 0
    assert again.result["release"] == {
        "digest": traffic.require_champion().digest,
        "semantic_version": traffic.require_champion().semantic_version,
        "new": False,
    }
    assert ReleaseStore(again.home.store).read_traffic("flight_delay") == traffic


def test_everything_it_writes_lies_in_the_home(demo: Demo) -> None:
    home = {path.name for path in demo.home.path.iterdir()}
    assert home == {"raw", "datasets", "searches", "candidates", "registry", "store", "service"}
    assert not Path(".athanor").exists()
    assert not Path("mlruns").exists()


def test_without_keep_no_service_is_left(again: _Again) -> None:
    assert run("app", "serve", "status", "flight_delay", "--home", again.home.path).returncode == 2
