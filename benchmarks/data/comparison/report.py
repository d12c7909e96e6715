"""Results: a table for the terminal, and RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from rich.console import Console
from rich.table import Table

from data.comparison.contenders import AIMS, CONTESTS, Aim, Contest
from data.comparison.measure import Measurement
from suite.goals import GOAL_COLUMNS, Comparison, Goal, goal_row
from suite.machine import describe_machine
from suite.results import markdown, rewrite

Outcome: TypeAlias = Mapping[str, Sequence[Measurement]]
"""The measurements of a contest by the names of the contenders."""

_HEADER: Final = ("contender", "median s", "fastest s", "first s", "rows/s", "peak MiB", "time / ours")
_LARGEST_PEAK_GIB: Final = 4


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


def _rows(contest: Contest, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    ours = warm(outcome[contest.ours.name])
    for name, measured in outcome.items():
        seconds = warm(measured)
        peak = max(one.peak_bytes for one in measured) / 2**20
        rate = measured[0].rows / seconds
        yield (
            name,
            f"{seconds:.3f}",
            f"{min(second for one in measured for second in one.seconds):.3f}",
            f"{first(measured):.3f}",
            f"{rate:,.0f}",
            f"{peak:,.0f}",
            f"{seconds / ours:.2f}",
        )


def evaluate(results: Results) -> Iterator[Goal]:
    """Each goal whose contest was measured."""
    for aim in AIMS:
        if aim.contest in results.outcomes:
            yield _measure(aim, results.outcomes[aim.contest])
    if streamed := results.streamed:
        name = f"peak memory of a build of the flights {results.times} times over"
        yield Goal(name, streamed.peak_bytes / 2**30, _LARGEST_PEAK_GIB, Comparison.AT_MOST, "GiB")


def _measure(aim: Aim, outcome: Outcome) -> Goal:
    ours = next(contest.ours.name for contest in CONTESTS if contest.name == aim.contest)
    peers = min(warm(outcome[peer]) for peer in aim.peers if peer in outcome)
    return aim.measure(peers, warm(outcome[ours]))


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
    table = Table(*GOAL_COLUMNS, title="Goals", title_justify="left")
    for goal in evaluate(results):
        table.add_row(*(cell.strip("*") for cell in goal_row(goal)))
    console.print(table)


def write(results: Results, path: Path) -> None:
    """Rewrites the file, except for the part that people write."""
    rewrite(path, _lines(results))


def _lines(results: Results) -> Iterator[str]:
    yield from (
        "# The data layer against its peers",
        "",
        "Made by `./pants run benchmarks/data`; only what stands below *What limits us* is written by hand.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {describe_machine()}.",
        f"Versions: {_versions(results)}.",
        "",
        *_METHOD,
        "## Goals",
        "",
        *markdown(GOAL_COLUMNS, map(goal_row, evaluate(results))),
        "",
    )
    for contest in results.contests:
        yield from (f"## {contest.title}", "")
        yield from markdown(_HEADER, _rows(contest, results.outcomes[contest.name]))
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


def _versions(results: Results) -> str:
    """Our versions first, then the peers' that differ or are new."""
    found: dict[str, list[str]] = {}
    for contest in results.contests:
        for measured in results.outcomes[contest.name].values():
            for name, version in measured[0].versions.items():
                known = found.setdefault(name, [])
                if version not in known:
                    known.append(version)
    return ", ".join(f"{name} {' (ours), '.join(versions)}" for name, versions in sorted(found.items()))
