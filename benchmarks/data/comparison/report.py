"""Results: a table for the terminal, and RESULTS.md."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from rich.console import Console
from rich.table import Table

from data.comparison.contenders import CONTESTS, GOALS, Contest, Goal
from data.comparison.measure import Measurement

Outcome: TypeAlias = Mapping[str, Sequence[Measurement]]
"""The measurements of a contest by the names of the contenders."""

KEPT_FROM: Final = "## What limits us"
"""Where the part of RESULTS.md begins that people write and a run keeps."""

_HEADER: Final = ("contender", "median s", "fastest s", "first s", "rows/s", "peak MiB", "time / ours")
_LARGEST_PEAK_BYTES: Final = 4 * 2**30


@dataclass(frozen=True)
class Results:
    """All measurements of a run.

    Attributes:
        outcomes: by the names of contests.
        times: how many times the flights were streamed.
        streamed: the measurement of that, None if there was none.
    """

    outcomes: Mapping[str, Outcome]
    times: int
    streamed: Measurement | None

    @property
    def contests(self) -> list[Contest]:
        return [contest for contest in CONTESTS if contest.name in self.outcomes]


def warm(measured: Sequence[Measurement]) -> float:
    """The median time of all rounds but the first of each process; of the first where there is no other."""
    return median([second for one in measured for second in (one.seconds[1:] or one.seconds)])


def first(measured: Sequence[Measurement]) -> float:
    """The median time of the first round of each process."""
    return median([one.seconds[0] for one in measured])


def ratio(goal: Goal, outcome: Outcome, ours: str) -> float:
    """The time of the fastest peer that the goal names over ours."""
    return min(warm(outcome[peer]) for peer in goal.peers) / warm(outcome[ours])


def _rows(contest: Contest, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    ours = warm(outcome[contest.ours.name])
    for contender in contest.contenders:
        measured = outcome[contender.name]
        seconds = warm(measured)
        peak = max(one.peak_bytes for one in measured) / 2**20
        rate = measured[0].rows / seconds
        yield (
            contender.name,
            f"{seconds:.3f}",
            f"{min(second for one in measured for second in one.seconds):.3f}",
            f"{first(measured):.3f}",
            f"{rate:,.0f}",
            f"{peak:,.0f}",
            f"{seconds / ours:.2f}",
        )


def _goals(results: Results) -> Iterator[tuple[str, str, str]]:
    for goal in GOALS:
        if goal.contest in results.outcomes:
            contest = next(contest for contest in CONTESTS if contest.name == goal.contest)
            reached = ratio(goal, results.outcomes[goal.contest], contest.ours.name)
            words = f"{reached:.2f} times as fast" if goal.least_ratio >= 1 else f"{1 / reached:.2f} times the time"
            yield goal.sentence, words, "reached" if reached >= goal.least_ratio else "**missed**"
    if streamed := results.streamed:
        peak = streamed.peak_bytes
        sentence = f"The flights {results.times} times over are built within 4 GiB"
        yield sentence, f"{peak / 2**30:.2f} GiB", "reached" if peak <= _LARGEST_PEAK_BYTES else "**missed**"


def _stream_words(results: Results) -> str:
    streamed = results.streamed
    if streamed is None:
        return ""
    seconds = streamed.seconds[0]
    return (
        f"{streamed.rows:,} rows, the flights {results.times} times over: {seconds:.1f} s, "
        f"{streamed.rows / seconds:,.0f} rows/s, peak {streamed.peak_bytes / 2**20:,.0f} MiB."
    )


def show(results: Results, console: Console) -> None:
    for contest in results.contests:
        table = Table(*_HEADER, title=contest.title, title_justify="left")
        for row in _rows(contest, results.outcomes[contest.name]):
            table.add_row(*row)
        console.print(table)
    console.print(_stream_words(results))
    table = Table("goal", "measured", "", title="Goals", title_justify="left")
    for row in _goals(results):
        table.add_row(*(cell.strip("*") for cell in row))
    console.print(table)


def write(results: Results, path: Path) -> None:
    """Rewrites the file, except for the part below `KEPT_FROM`, which people write."""
    old = path.read_text() if path.exists() else ""
    kept = old[old.index(KEPT_FROM) :] if KEPT_FROM in old else f"{KEPT_FROM}\n"
    path.write_text("\n".join([*_lines(results), kept]))


def _lines(results: Results) -> Iterator[str]:
    yield from (
        "# The data layer against its peers",
        "",
        "Made by `./pants run benchmarks/data`; only what stands below *What limits us* is written by hand.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}.",
        f"Versions: {_versions(results)}.",
        "",
        *_METHOD,
        "## Goals",
        "",
        *_markdown(("goal", "measured", ""), _goals(results)),
        "",
    )
    for contest in results.contests:
        yield from (f"## {contest.title}", "")
        yield from _markdown(_HEADER, _rows(contest, results.outcomes[contest.name]))
        yield ""
    if results.streamed:
        yield from ("## Stream more rows than fit into memory", "", _stream_words(results), "")


_METHOD: Final = (
    "Each contender runs in a process of its own, in turns with the others. A process does its work at least twice,",
    "and short work for 1.5 s, after imports and, except for ingest, after reading input; *median s* is the median of",
    "all rounds but the first of each process, *first s* the median of the first ones, *peak MiB* the largest resident",
    "memory up to the end of a first round, with imports. Peers have their best settings: schemas, suites, batches",
    "and definitions are made before the clock starts, and the tables list all ways of a library. A",
    "time counts only if the results agree: all validators find the same planted rows (Great Expectations has no way",
    "to ask floats for whole numbers), profiles have the same means and distances and the same columns have shifted,",
    "joined files hold the same rows and sums. The top of each module in `comparison/` describes its settings.",
    "",
)


def _markdown(header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|---|{'---:|' * (len(header) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, CPython {python}"


def _versions(results: Results) -> str:
    """Our versions first, then the peers' that differ or are new."""
    found: dict[str, list[str]] = {}
    for contest in results.contests:
        for contender in contest.contenders:
            for name, version in results.outcomes[contest.name][contender.name][0].versions.items():
                known = found.setdefault(name, [])
                if version not in known:
                    known.append(version)
    return ", ".join(f"{name} {' (ours), '.join(versions)}" for name, versions in sorted(found.items()))
