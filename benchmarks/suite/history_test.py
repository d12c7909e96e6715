"""A history keeps every figure, and compares a run only with runs of its kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from suite.goals import Comparison, Goal, read_goals, write_goals
from suite.history import Entry, HistoryError, append, read, usual
from suite.machine import Machine, this_machine

GOAL = Goal("speed", 10.0, 4.0, Comparison.AT_LEAST, "rows/s", "a peer")
ENTRY = Entry(datetime(2026, 11, 28, 2, 17, tzinfo=UTC), "c0ffee", Machine(2, "a processor"), False, {"data": (GOAL,)})


def runs(*figures: float) -> list[Entry]:
    """Runs of the same kind on successive nights."""
    return [
        replace(ENTRY, date=ENTRY.date + timedelta(days=day), goals={"data": (replace(GOAL, measured=figure),)})
        for day, figure in enumerate(figures)
    ]


def test_a_file_keeps_all_runs(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read(path) == ()
    entries = runs(1.0, 2.0)
    for entry in entries:
        append(path, entry)
    assert read(path) == tuple(entries)


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"date": "yesterday"}', '{"date": "2026-11-28'])
def test_a_line_that_is_no_run_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, ENTRY)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(HistoryError, match=r"history\.jsonl, line 2 is not a run .*; remove the line"):
        read(path)


def test_a_figure_is_compared_with_the_median_of_the_last_ten() -> None:
    old = [1000.0] * 5
    assert usual(runs(*old, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), ENTRY, "data", "speed") == 5.5
    assert usual(runs(1.0, 2.0, 9.0), ENTRY, "data", "speed") == 2.0


@pytest.mark.parametrize(
    "other",
    [
        replace(ENTRY, machine=Machine(4, "a processor")),
        replace(ENTRY, machine=Machine(2, "another")),
        replace(ENTRY, quick=True),
        replace(ENTRY, goals={"serving": (GOAL,)}),
        replace(ENTRY, goals={"data": (replace(GOAL, name="latency"),)}),
    ],
    ids=["cores", "processor", "quick", "benchmark", "figure"],
)
def test_a_run_of_another_kind_is_not_compared(other: Entry) -> None:
    assert usual([other], ENTRY, "data", "speed") is None


def test_goals_survive_their_file(tmp_path: Path) -> None:
    write_goals(tmp_path / "goals.json", [GOAL], turns=[1, 2])
    assert read_goals(tmp_path / "goals.json") == (GOAL,)


@pytest.mark.parametrize(
    ("measured", "comparison", "is_reached"),
    [
        (4.0, Comparison.AT_LEAST, True),
        (3.999, Comparison.AT_LEAST, False),
        (4.0, Comparison.AT_MOST, True),
        (4.001, Comparison.AT_MOST, False),
        (float("nan"), Comparison.AT_LEAST, False),
        (float("nan"), Comparison.AT_MOST, False),
    ],
)
def test_the_limit_itself_is_reached(measured: float, comparison: Comparison, is_reached: bool) -> None:
    assert replace(GOAL, measured=measured, comparison=comparison).is_reached is is_reached


def test_this_machine_has_cores_and_a_processor() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.cpu
