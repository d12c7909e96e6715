"""Contenders of each task, the results that must agree, and our aims for speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from data.comparison.agreement import differences, drift_differences
from suite.goals import Comparison, Goal


@dataclass(frozen=True)
class Contender:
    """One way to do a task.

    Attributes:
        name: for the table, with the difference from other ways of the same library.
        module, task: the code to run.
        is_peer: whether it runs with the peers' lock, not with ours.
        planted: a task of the same module that does the same to rows some of which break rules, "" for none.
        lacks: suffixes of results that it cannot find.
        is_quick: whether a quick run has it; another way of the same library stands for one that is left out.
    """

    name: str
    module: str
    task: str
    is_peer: bool = True
    planted: str = ""
    lacks: tuple[str, ...] = ()
    is_quick: bool = True


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

    def quick(self) -> Contest:
        """The contest of a quick run."""
        return replace(self, contenders=tuple(one for one in self.contenders if one.is_quick))


@dataclass(frozen=True)
class Aim:
    """A goal for speed.

    Attributes:
        name: of the goal; an aim at most of some time is about times, one at least about speed.
        peers: names of contenders; the fastest of them counts.
        wanted: their time over ours for a speed, ours over theirs for a time.
    """

    contest: str
    name: str
    peers: tuple[str, ...]
    wanted: float
    comparison: Comparison = Comparison.AT_LEAST

    def measure(self, peers_s: float, ours_s: float) -> Goal:
        """The goal, from the time of the fastest peer and from ours."""
        ratio = peers_s / ours_s if self.comparison is Comparison.AT_LEAST else ours_s / peers_s
        return Goal(self.name, ratio, self.wanted, self.comparison)


def _ours(name: str, task: str, planted: str = "", *, is_quick: bool = True) -> Contender:
    return Contender(name, "ours", task, is_peer=False, planted=planted, is_quick=is_quick)


VALIDATE: Final = Contest(
    "validate",
    "Validate 327,346 joined flights by the rules of the contract",
    (
        _ours("Athanor, from a frame", "validate", "validate-planted"),
        _ours("Athanor, from arrays", "validate-columns", "validate-columns-planted", is_quick=False),
        Contender("pandera, pandas", "pandera_validation", "pandas", planted="pandas-planted"),
        Contender(
            "pandera, pandas, Arrow text", "pandera_validation", "arrow", planted="arrow-planted", is_quick=False
        ),
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
        Contender("Evidently, presets", "evidently_profile", "presets", is_quick=False),
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
        Contender("polars, eager", "polars_join", "eager", is_quick=False),
        Contender("polars, lazy", "polars_join", "lazy"),
    ),
)
CONTESTS: Final = (VALIDATE, PROFILE, INGEST)

AIMS: Final = (
    Aim("validate", "speed of validation, against pandera on what pandas reads", ("pandera, pandas",), 2),
    Aim(
        "validate",
        "speed of validation, against pandera at its fastest, text converted beforehand",
        ("pandera, pandas, Arrow text", "pandera, pandas, categories", "pandera, polars"),
        2,
    ),
    Aim(
        "profile",
        "speed of a profile with drift, against Evidently",
        ("Evidently, single metrics", "Evidently, presets"),
        5,
    ),
    Aim("profile", "speed of a profile with drift, against Great Expectations", ("Great Expectations",), 5),
    Aim(
        "ingest",
        "time of ingest, join and snapshot, against plain pandas",
        ("pandas, our version", "pandas, the peers' version"),
        1.5,
        Comparison.AT_MOST,
    ),
)
