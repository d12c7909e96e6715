"""Contenders of each task, the results that must agree, and our goals for speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from data.comparison.agreement import differences, drift_differences


@dataclass(frozen=True)
class Contender:
    """One way to do a task.

    Attributes:
        name: for the table, with the difference from other ways of the same library.
        module, task: the code to run.
        is_peer: whether it runs with the peers' lock, not with ours.
        planted: a task of the same module that does the same to rows some of which break rules, "" for none.
        lacks: suffixes of results that it cannot find.
    """

    name: str
    module: str
    task: str
    is_peer: bool = True
    planted: str = ""
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contest:
    """One task.

    Attributes:
        name: short, for the command line.
        title: for the table.
        contenders: ours first; all ratios are to it.
        compare: lists differences between expected and found results.
    """

    name: str
    title: str
    contenders: tuple[Contender, ...]
    compare: Callable[[Mapping[str, float], Mapping[str, float]], Iterator[str]] = differences

    @property
    def ours(self) -> Contender:
        return self.contenders[0]


@dataclass(frozen=True)
class Goal:
    """A goal for speed.

    Attributes:
        peers: names of contenders; the fastest of them counts.
        least_ratio: their time over ours.
    """

    contest: str
    peers: tuple[str, ...]
    least_ratio: float
    sentence: str


def _ours(name: str, task: str, planted: str = "") -> Contender:
    return Contender(name, "ours", task, is_peer=False, planted=planted)


VALIDATE: Final = Contest(
    "validate",
    "Validate 327,346 joined flights by the rules of the contract",
    (
        _ours("Athanor, from a frame", "validate", "validate-planted"),
        _ours("Athanor, from arrays", "validate-columns", "validate-columns-planted"),
        Contender("pandera, pandas", "pandera_validation", "pandas", planted="pandas-planted"),
        Contender("pandera, pandas, Arrow text", "pandera_validation", "arrow", planted="arrow-planted"),
        Contender("pandera, pandas, categories", "pandera_validation", "categories", planted="categories-planted"),
        Contender("pandera, polars", "pandera_validation", "polars", planted="polars-planted"),
        Contender("Great Expectations", "gx", "validate", planted="validate-planted", lacks=("WHOLE",)),
    ),
)
PROFILE: Final = Contest(
    "profile",
    "Profile both halves of the year, and the drift between them",
    (
        _ours("Athanor", "profile"),
        Contender("Evidently, single metrics", "evidently_profile", "metrics"),
        Contender("Evidently, presets", "evidently_profile", "presets"),
        Contender("Great Expectations", "gx", "profile"),
    ),
    drift_differences,
)
INGEST: Final = Contest(
    "ingest",
    "Read the raw tables, join them and write Parquet",
    (
        _ours("Athanor, the whole build", "build"),
        Contender("pandas, our version", "pandas_join", "join", is_peer=False),
        Contender("pandas, the peers' version", "pandas_join", "join"),
        Contender("polars, eager", "polars_join", "eager"),
        Contender("polars, lazy", "polars_join", "lazy"),
    ),
)
CONTESTS: Final = (VALIDATE, PROFILE, INGEST)

GOALS: Final = (
    Goal(
        "validate",
        ("pandera, pandas",),
        2,
        "Validation by the same rules is at least 2 times as fast as pandera on what pandas reads",
    ),
    Goal(
        "validate",
        ("pandera, pandas, Arrow text", "pandera, pandas, categories", "pandera, polars"),
        2,
        "…and at least 2 times as fast as pandera at its fastest, text converted beforehand",
    ),
    Goal(
        "profile",
        ("Evidently, single metrics", "Evidently, presets"),
        5,
        "A profile with drift is at least 5 times as fast as Evidently's",
    ),
    Goal("profile", ("Great Expectations",), 5, "…and at least 5 times as fast as Great Expectations'"),
    Goal(
        "ingest",
        ("pandas, our version", "pandas, the peers' version"),
        1 / 1.5,
        "Ingest, join and snapshot take at most 1.5 times the time of plain pandas",
    ),
)
