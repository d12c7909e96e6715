"""Writes the results as Markdown, as far as a program can write them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESULTS: Final = Path("benchmarks/ci/RESULTS.md")
KEPT_FROM: Final = "## What limits us"
SHARE_GOAL: Final = 0.25
TIME_GOAL: Final = 0.20


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


def write(rows: Sequence[Row], full: Full, machine: str, path: Path = RESULTS) -> None:
    """Rewrites the file, except for the part below KEPT_FROM."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    _, heading, kept = before.partition(KEPT_FROM)
    path.write_text("\n".join(_lines(rows, full, machine)) + f"\n{heading or KEPT_FROM}{kept}", encoding="utf-8")


def _lines(rows: Sequence[Row], full: Full, machine: str) -> Iterator[str]:
    yield from (
        "# A change's run against a full run",
        "",
        "Made by `./pants run benchmarks/ci/comparison/main.py`; what stands below *What limits us* is by hand.",
        "",
        machine,
        "",
        "Each edit of `tests/selection/cases.yaml`, in a clone with a second project, `rain`, beside",
        "the example. *Tests*: the files selected. *Effort*: the share of all tests' seconds that the",
        "selected. *Warm*: `./pants affected --only test` with the caches of the commit before; *cold*: without any.",
        "Both start Pants anew, without its daemon, which would save 10 s of each.",
        f"Goals for one project's edit: {SHARE_GOAL:.0%} of the tests, {TIME_GOAL:.0%} of the full run's time at most.",
        "",
        f"Everything, cold: {_seconds(full.cold_s) or 'not measured'}; everything again, unchanged: "
        f"{_seconds(full.warm_s) or 'not measured'}.",
        "",
        "| edit | tests | share | effort | warm | cold | cold beside everything |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    for row in rows:
        cells = (str(row.tests), f"{row.share:.0%}", _share(row.effort), _seconds(row.warm_s), _seconds(row.cold_s))
        yield f"| {' | '.join((row.edit, *cells, _share(_ratio(row.cold_s, full.cold_s))))} |"
    yield ""


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.0%}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.0f} s"
