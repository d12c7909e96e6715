"""The result of all benchmarks: one table for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from rich.table import Table

from suite.benchmarks import Outcome
from suite.goals import GOAL_COLUMNS, Goal, goal_row, to_dicts
from suite.history import Entry, usual


def make_table(outcomes: Sequence[Outcome], entry: Entry, history: Sequence[Entry] | None) -> Table:
    """One row a goal, and one for a benchmark that could not run.

    Args:
        entry: this run.
        history: earlier runs; None leaves out the column of changes.
    """
    changes = () if history is None else ("change",)
    table = Table("benchmark", *GOAL_COLUMNS, *changes)
    for column in (*table.columns[2:4], *table.columns[5:]):
        column.justify = "right"
        column.no_wrap = True
    for outcome in outcomes:
        for row in _rows(outcome, entry, history):
            table.add_row(*row[: len(table.columns)])
    return table


def _rows(outcome: Outcome, entry: Entry, history: Sequence[Entry] | None) -> Iterator[tuple[str, ...]]:
    if outcome.failure:
        yield (outcome.name, "", "", "", "[red]could not run[/red]", "")
    for goal in outcome.goals:
        name, measured, wanted, _ = goal_row(goal)
        verdict = "[green]reached[/green]" if goal.is_reached else "[red]missed[/red]"
        yield (outcome.name, name, measured, wanted, verdict, _change(outcome.name, goal, entry, history or ()))


def _change(benchmark: str, goal: Goal, entry: Entry, history: Sequence[Entry]) -> str:
    before = usual(history, entry, benchmark, goal.name)
    return f"{goal.measured / before - 1:+.0%}" if before else ""


def summarise(outcomes: Sequence[Outcome]) -> str:
    """How many goals are reached, and which benchmarks could not run."""
    goals = [goal for outcome in outcomes for goal in outcome.goals]
    failed = [outcome.name for outcome in outcomes if outcome.failure]
    words = f"{sum(goal.is_reached for goal in goals)} of {len(goals)} goals reached"
    minutes = f"{sum(outcome.seconds for outcome in outcomes) / 60:.1f} minutes"
    return "; ".join([words, *([f"could not run: {', '.join(failed)}"] if failed else ()), minutes])


def to_json(outcomes: Sequence[Outcome]) -> str:
    """Goals, seconds and failure of each benchmark."""
    found = {
        outcome.name: {
            "seconds": round(outcome.seconds, 1),
            "failure": outcome.failure or None,
            "log": str(outcome.log),
            "goals": to_dicts(outcome.goals),
        }
        for outcome in outcomes
    }
    return json.dumps({"benchmarks": found}, indent=2)
