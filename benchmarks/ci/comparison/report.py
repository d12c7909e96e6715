"""Writes the results as Markdown, as far as a program can write them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from suite.goals import GOAL_COLUMNS, Comparison, Goal, goal_row
from suite.results import markdown, rewrite

RESULTS: Final = Path("benchmarks/ci/RESULTS.md")
PROJECT_EDITS: Final = (
    "a second project's features",
    "a second project's data declaration",
    "a second project's recipe",
)
OWN_TESTS_GOAL_S: Final = 45.0
_SHARE_GOAL_PERCENT: Final = 25.0
_TIME_GOAL_PERCENT: Final = 20.0


@dataclass(frozen=True)
class Row:
    """One kind of edit.

    Attributes:
        share: of all test files, those selected, 0 to 1.
        effort: share of all tests' seconds that the selected tests take, 0 to 1; None if not measured.
        warm_s, cold_s: testing what is affected, with the caches of the commit before and without any; None where not
            measured.
    """

    edit: str
    tests: int
    share: float
    effort: float | None = None
    warm_s: float | None = None
    cold_s: float | None = None


@dataclass(frozen=True)
class Full:
    """Seconds of testing everything: with empty caches, and once more when nothing has changed."""

    cold_s: float | None = None
    warm_s: float | None = None


def evaluate(rows: Sequence[Row], full: Full) -> Iterator[Goal]:
    """What the worst of one project's edits costs, as far as it was measured."""
    ours = [row for row in rows if row.edit in PROJECT_EDITS]
    if ours:
        share = 100 * max(row.share for row in ours)
        yield Goal("tests that one project's edit selects, of all", share, _SHARE_GOAL_PERCENT, Comparison.AT_MOST, "%")
    ratios = [ratio for row in ours if (ratio := _ratio(row.cold_s, full.cold_s)) is not None]
    if ratios:
        name = "time of testing one project's edit, cold, of testing everything"
        yield Goal(name, 100 * max(ratios), _TIME_GOAL_PERCENT, Comparison.AT_MOST, "%")


def write(rows: Sequence[Row], full: Full, machine: str, path: Path = RESULTS) -> None:
    """Rewrites the file, except for the part that people write."""
    rewrite(path, _lines(rows, full, machine))


def _lines(rows: Sequence[Row], full: Full, machine: str) -> Iterator[str]:
    yield from (
        "# A change's run against a full run",
        "",
        "Made by `./pants run benchmarks/ci/comparison/main.py`; what stands below *What limits us* is by hand.",
        "",
        machine,
        "",
        "Each edit of `tests/selection/cases.yaml`, in a clone with a second project, `rain`, beside",
        "the example. *Tests*: the files selected. *Effort*: the share of all tests' seconds that they",
        "take. *Warm*: `./pants affected --only test` with the caches of the commit before; *cold*: without any.",
        "Both start Pants anew, without its daemon, which would save 10 s of each.",
        "",
        *markdown(GOAL_COLUMNS, map(goal_row, evaluate(rows, full))),
        "",
        f"Everything, cold: {_seconds(full.cold_s) or 'not measured'}; everything again, unchanged: "
        f"{_seconds(full.warm_s) or 'not measured'}.",
        "",
        *markdown(_HEADER, (_cells(row, full) for row in rows)),
        "",
    )


_HEADER: Final = ("edit", "tests", "share", "effort", "warm", "cold", "cold beside everything")


def _cells(row: Row, full: Full) -> tuple[str, ...]:
    cells = (str(row.tests), f"{row.share:.0%}", _share(row.effort), _seconds(row.warm_s), _seconds(row.cold_s))
    return (row.edit, *cells, _share(_ratio(row.cold_s, full.cold_s)))


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.0%}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.0f} s"
