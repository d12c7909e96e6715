"""The table and the verdicts follow from the measurements, and a new run keeps what people wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.comparison.contenders import AIMS, CONTESTS, INGEST, PROFILE
from data.comparison.measure import Clock, Measurement
from data.comparison.report import Results, first, warm, write
from suite.results import KEPT_FROM

MEASURED = Measurement(seconds=[9.0, 1.0], peak_bytes=2**20, rows=1000, found={}, versions={"pandas": "3.1.1"})


def results(ours: float, peers: float, peak_bytes: int = 2**30) -> Results:
    """Every contest with the same two times, and a stream with a peak."""
    outcomes = {
        contest.name: {
            one.name: [replace(MEASURED, seconds=[9.0, ours if one is contest.ours else peers])]
            for one in contest.contenders
        }
        for contest in (PROFILE, INGEST)
    }
    return Results(outcomes, 10, replace(MEASURED, peak_bytes=peak_bytes))


def verdicts(path: Path) -> list[str]:
    goals = path.read_text().split("## Goals")[1].split("##")[0]
    return ["missed" if "missed" in line else "reached" for line in goals.splitlines() if "| " in line][1:]


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (results(ours=1.0, peers=5.0), ["reached", "reached", "reached", "reached"]),
        (results(ours=1.0, peers=4.9), ["missed", "missed", "reached", "reached"]),
        (results(ours=1.51, peers=1.0), ["missed", "missed", "missed", "reached"]),
        (results(ours=1.0, peers=5.0, peak_bytes=2**32 + 1), ["reached", "reached", "reached", "missed"]),
    ],
)
def test_a_goal_is_reached_or_missed(measured: Results, expected: list[str], tmp_path: Path) -> None:
    write(measured, tmp_path / "RESULTS.md")
    assert verdicts(tmp_path / "RESULTS.md") == expected


def test_a_quick_run_measures_every_goal() -> None:
    quick = {one.name for contest in CONTESTS for one in contest.quick().contenders}
    assert all(quick.intersection(aim.peers) for aim in AIMS)
    assert {contest.ours.name for contest in CONTESTS} <= quick


def test_ratios_are_to_our_time(tmp_path: Path) -> None:
    write(results(ours=0.5, peers=4.0), tmp_path / "RESULTS.md")
    assert "| Athanor | 0.500 | 0.500 | 9.000 | 2,000 | 1 | 1.00 |" in (tmp_path / "RESULTS.md").read_text()
    assert "| Great Expectations | 4.000 | 4.000 | 9.000 | 250 | 1 | 8.00 |" in (tmp_path / "RESULTS.md").read_text()


def test_first_and_later_rounds_are_told_apart() -> None:
    runs = [replace(MEASURED, seconds=[7.0, 2.0]), replace(MEASURED, seconds=[9.0, 4.0])]
    assert (first(runs), warm(runs)) == (8.0, 3.0)
    assert warm([replace(MEASURED, seconds=[7.0])]) == 7.0


def test_a_run_keeps_what_people_wrote(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    write(results(ours=1.0, peers=5.0), path)
    path.write_text(path.read_text() + "\nSorting takes a third.\n")
    write(results(ours=2.0, peers=5.0), path)
    assert path.read_text().endswith(f"{KEPT_FROM}\n\nSorting takes a third.\n")
    assert path.read_text().count("## Goals") == 1


def test_the_clock_measures_every_round() -> None:
    clock = Clock(3)
    assert list(clock.rounds()) == [0, 1, 2]
    assert len(clock.seconds) == 3
    assert clock.peak_bytes > 2**20


def test_short_work_is_done_more_often() -> None:
    clock = Clock(1, least_s=0.001)
    assert len(list(clock.rounds())) > 1
    assert sum(clock.seconds) >= 0.001
