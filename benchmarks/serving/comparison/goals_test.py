"""Goals follow from the figures, a missed goal is reported as missed, and a new run keeps people's part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from serving.comparison.contenders import BARE, CONTENDERS, Kind
from serving.comparison.goals import OURS, OURS_TENSORS, Results, evaluate
from serving.comparison.measure import Alone, Turn
from serving.comparison.report import Run, write, write_json
from serving.comparison.scenarios import DEFAULTS, OFF, ON, SCENARIOS, SHADOW
from suite.results import KEPT_FROM

TURN = Turn(per_s=1_000.0, median_s=0.004, p99_s=0.01, paced_median_s=0.004, paced_p99_s=0.02, rows_per_s=10_000.0)
CORE = Alone(single_per_s=9_000.0, messages_rows_per_s=40_000.0, columns_rows_per_s=100_000.0)
KINDS = {
    OURS: Kind.OURS,
    OURS_TENSORS: Kind.OURS,
    BARE.name: Kind.LIMIT,
    "installed": Kind.AS_INSTALLED,
    "tuned": Kind.TUNED,
    ON.name: Kind.OURS,
    OFF.name: Kind.OURS,
    SHADOW.name: Kind.OURS,
    DEFAULTS.name: Kind.OURS,
}


def results(**ours: float) -> Results:
    """Just good enough for each goal, unless our typed door is given other figures."""
    turns = {
        OURS: [replace(TURN, **{"per_s": 6_000.0, "median_s": 0.0016, "rows_per_s": 60_000.0, **ours})],
        OURS_TENSORS: [replace(TURN, rows_per_s=85_000.0)],
        BARE.name: [replace(TURN, per_s=10_000.0)],
        "installed": [TURN],
        "tuned": [replace(TURN, per_s=1_500.0, rows_per_s=20_000.0, median_s=0.005)],
        ON.name: [replace(TURN, per_s=900.0)],
        OFF.name: [TURN],
        SHADOW.name: [replace(TURN, median_s=0.0042)],
        DEFAULTS.name: [TURN],
    }
    return Results(turns, KINDS, [CORE])


def missed(measured: Results) -> list[str]:
    return [goal.name for goal in evaluate(measured) if not goal.is_reached]


def test_all_goals_are_measured_and_can_be_reached() -> None:
    assert len(list(evaluate(results()))) == 9
    assert missed(results()) == []


@pytest.mark.parametrize(
    ("figure", "value", "words"),
    [
        ("per_s", 5_900.0, ["at its best settings", "best peer as installed", "bare grpc.aio"]),
        ("median_s", 0.0017, ["median latency"]),
        ("rows_per_s", 59_000.0, ["typed gRPC, against the best peer"]),
        ("paced_p99_s", 0.021, ["99th percentile"]),
    ],
)
def test_a_slower_service_misses_its_goals(figure: str, value: float, words: list[str]) -> None:
    found = missed(results(**{figure: value}))
    assert len(found) == len(words)
    assert all(word in name for word, name in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("lane", "figures", "words"),
    [
        (OURS_TENSORS, {"rows_per_s": 84_000.0}, "against the core in process"),
        (ON.name, {"per_s": 890.0}, "telemetry"),
        (SHADOW.name, {"median_s": 0.0043}, "shadow"),
    ],
)
def test_a_slower_lane_misses_its_goal(lane: str, figures: dict[str, float], words: str) -> None:
    measured = results()
    slower = replace(measured, turns={**measured.turns, lane: [replace(measured.turns[lane][0], **figures)]})
    (name,) = missed(slower)
    assert words in name


def test_the_best_peer_is_found_for_each_figure() -> None:
    found = [goal.against for goal in evaluate(results())]
    assert [name for name in found if name in ("tuned", "installed")] == [
        "tuned",
        "installed",
        "installed",
        "tuned",
    ]


def test_what_was_not_measured_has_no_goal() -> None:
    assert list(evaluate(Results({DEFAULTS.name: [TURN]}, {DEFAULTS.name: Kind.OURS}, []))) == []


def test_a_new_run_keeps_what_people_wrote(tmp_path: Path) -> None:
    path, run = tmp_path / "RESULTS.md", Run(results(per_s=100.0), {"ray": "2"}, 1.5)
    path.write_text(f"old figures\n{KEPT_FROM}\n\nOur words.\n")
    write(run, path)
    text = path.read_text()
    assert "old figures" not in text
    assert text.endswith(f"{KEPT_FROM}\n\nOur words.\n")
    assert "**missed**" in text


def test_json_has_every_turn(tmp_path: Path) -> None:
    write_json(Run(results(), {"ray": "2"}, 1.5), tmp_path / "run.json")
    data = json.loads((tmp_path / "run.json").read_text())
    assert data["turns"][OURS][0]["per_s"] == 6_000.0
    assert all(goal["reached"] for goal in data["goals"])


def test_a_quick_run_measures_every_goal() -> None:
    kinds = {contender.kind for contender in CONTENDERS if contender.is_quick}
    assert kinds == set(Kind)
    assert {one.name for one in (ON, OFF, SHADOW, DEFAULTS)} == {one.name for one in SCENARIOS if one.is_quick}
