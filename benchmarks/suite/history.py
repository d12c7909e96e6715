"""History of figures, one run a line of JSON, and the change of a figure against earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from suite.goals import Goal, from_dict, to_dicts
from suite.machine import Machine

_COMPARED: Final = 10


class HistoryError(Exception):
    """A line of a history is not an entry; the message names file and line."""


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        quick: whether the benchmarks measured less; such figures are compared only with each other.
        goals: by the benchmark's name.
    """

    date: datetime
    commit: str
    machine: Machine
    quick: bool
    goals: Mapping[str, Sequence[Goal]]

    def is_like(self, other: Entry) -> bool:
        """Whether the figures of two runs can be compared."""
        return (self.machine, self.quick) == (other.machine, other.quick)

    def measured(self, benchmark: str, goal: str) -> float | None:
        """A figure of this run; None if it was not measured."""
        return next((one.measured for one in self.goals.get(benchmark, ()) if one.name == goal), None)


def append(path: Path, entry: Entry) -> None:
    """Adds a run to a history, and makes the file if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    goals = {name: to_dicts(goals) for name, goals in entry.goals.items()}
    line = json.dumps({**asdict(entry), "date": entry.date.isoformat(timespec="seconds"), "goals": goals})
    with path.open("a") as file:
        file.write(f"{line}\n")


def read(path: Path) -> tuple[Entry, ...]:
    """All runs of a history, oldest first; none if there is no file.

    Raises:
        HistoryError: a line is not an entry.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_to_entry(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HistoryError(
                f"{path}, line {number} is not a run ({type(error).__name__}: {error}); remove the line"
            ) from error
    return tuple(entries)


def _to_entry(data: Mapping[str, Any]) -> Entry:
    return Entry(
        date=datetime.fromisoformat(data["date"]),
        commit=data["commit"],
        machine=Machine(**data["machine"]),
        quick=data["quick"],
        goals={name: tuple(map(from_dict, goals)) for name, goals in data["goals"].items()},
    )


def usual(history: Sequence[Entry], run: Entry, benchmark: str, goal: str) -> float | None:
    """Median of a figure over the last ten runs of the same kind that measured it; None if there is no such run."""
    earlier = [one.measured(benchmark, goal) for one in history if one.is_like(run)]
    figures = [figure for figure in earlier if figure is not None][-_COMPARED:]
    return median(figures) if figures else None
