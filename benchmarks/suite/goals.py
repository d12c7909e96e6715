"""Goals of benchmarks: a figure, the limit it must keep, and the file in which a benchmark reports them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

GOAL_COLUMNS: Final = ("goal", "measured", "wanted", "")


class Comparison(StrEnum):
    """Side of the limit on which a figure must lie; the limit itself is allowed."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True)
class Goal:
    """One figure and its limit.

    Attributes:
        name: unique among the goals of its benchmark; a history finds earlier figures by it.
        unit: of both numbers; empty for a ratio.
        against: what the figure is compared with, if the name does not say it.
    """

    name: str
    measured: float
    wanted: float
    comparison: Comparison
    unit: str = ""
    against: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the figure keeps its limit; a figure that is not a number does not."""
        if self.comparison is Comparison.AT_LEAST:
            return self.measured >= self.wanted
        return self.measured <= self.wanted


def goal_row(goal: Goal) -> tuple[str, str, str, str]:
    """Cells for GOAL_COLUMNS, as Markdown."""
    return (
        goal.name,
        f"{goal.measured:.2f} {goal.unit}".rstrip(),
        f"{goal.comparison} {goal.wanted:g} {goal.unit}".rstrip(),
        "reached" if goal.is_reached else "**missed**",
    )


def to_dicts(goals: Iterable[Goal]) -> list[dict[str, Any]]:
    """Goals for JSON, each with its verdict under `reached`."""
    return [{**asdict(goal), "reached": goal.is_reached} for goal in goals]


def from_dict(data: Mapping[str, Any]) -> Goal:
    """A goal from JSON; the verdict is computed again."""
    fields = {name: value for name, value in data.items() if name != "reached"}
    return Goal(**{**fields, "comparison": Comparison(fields["comparison"])})


def write_goals(path: Path, goals: Iterable[Goal], **more: object) -> None:
    """Writes the report of a benchmark for machines: its goals, and more figures under other keys."""
    path.write_text(json.dumps({**more, "goals": to_dicts(goals)}, indent=2) + "\n")


def read_goals(path: Path) -> tuple[Goal, ...]:
    """The goals that a benchmark reported."""
    return tuple(from_dict(data) for data in json.loads(path.read_text())["goals"])
