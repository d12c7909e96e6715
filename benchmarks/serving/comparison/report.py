"""Results: tables for the terminal, JSON, and RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from serving.comparison.goals import OURS, Results, evaluate
from serving.comparison.measure import CLIENTS, Turn
from suite.goals import GOAL_COLUMNS, goal_row, write_goals
from suite.machine import describe_machine
from suite.results import markdown, rewrite

_FIGURES: Final = (
    "lane",
    f"requests/s, {CLIENTS} at once",
    "median ms, alone",
    "p99 ms, alone",
    "p99 / median at half",
    "rows/s, batches",
    "requests/s, ours = 1",
)
_GOALS: Final = (*GOAL_COLUMNS, "against")


@dataclass(frozen=True)
class Run:
    """A run and its description.

    Attributes:
        versions: of the distributions, ours and the peers'.
        seconds: that each figure was measured for, in each turn.
    """

    results: Results
    versions: Mapping[str, str]
    seconds: float

    @property
    def count(self) -> int:
        return max(map(len, self.results.turns.values()), default=0)


def _middle(turns: Sequence[Turn], figure: Callable[[Turn], float]) -> float:
    return median(figure(turn) for turn in turns)


def _figures(results: Results) -> Iterator[tuple[str, ...]]:
    ours = results.turns.get(OURS)
    for name, turns in results.turns.items():
        per_s = _middle(turns, lambda turn: turn.per_s)
        yield (
            name,
            f"{per_s:,.0f}",
            f"{_middle(turns, lambda turn: turn.median_s) * 1e3:.2f}",
            f"{_middle(turns, lambda turn: turn.p99_s) * 1e3:.2f}",
            f"{_middle(turns, lambda turn: turn.paced_p99_s / turn.paced_median_s):.1f}",
            f"{_middle(turns, lambda turn: turn.rows_per_s):,.0f}",
            f"{per_s / _middle(ours, lambda turn: turn.per_s):.2f}" if ours else "",
        )


def _core(results: Results) -> str:
    if not results.alone:
        return ""
    single = median(one.single_per_s for one in results.alone)
    messages = median(one.messages_rows_per_s for one in results.alone)
    columns = median(one.columns_rows_per_s for one in results.alone)
    return (
        f"The core in process, on one core: {single:,.0f} requests/s of one row, bytes to bytes; in batches of 1,000 "
        f"{messages:,.0f} rows/s from messages, {columns:,.0f} rows/s from columns."
    )


def _goals(results: Results) -> Iterator[tuple[str, ...]]:
    for goal in evaluate(results):
        yield (*goal_row(goal), goal.against)


def show(run: Run, console: Console) -> None:
    for header, rows in ((_FIGURES, _figures(run.results)), (_GOALS, _goals(run.results))):
        table = Table(*header)
        for row in rows:
            table.add_row(*(cell.strip("*") for cell in row))
        console.print(table)
    console.print(_core(run.results))


def write_json(run: Run, path: Path) -> None:
    """Writes every figure of every turn, and the goals."""
    write_goals(
        path,
        evaluate(run.results),
        machine=describe_machine(),
        versions=dict(run.versions),
        seconds=run.seconds,
        turns={name: [asdict(turn) for turn in turns] for name, turns in run.results.turns.items()},
        core=[asdict(one) for one in run.results.alone],
    )


def write(run: Run, path: Path) -> None:
    """Rewrites the file, except for the part that people write."""
    rewrite(path, _lines(run))


def _lines(run: Run) -> Iterator[str]:
    yield from (
        "# The service against its peers",
        "",
        "Made by `./pants run benchmarks/serving`; only what stands below *What limits us* is written by hand.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {describe_machine()}.",
        f"Versions: {', '.join(f'{name} {version}' for name, version in run.versions.items())}.",
        "",
        *_METHOD,
        f"Medians of {run.count} turns, in which each figure of each lane was measured for about {run.seconds:g} s.",
        "",
        "## Goals",
        "",
        *markdown(_GOALS, _goals(run.results)),
        "",
        "## Figures",
        "",
        *markdown(_FIGURES, _figures(run.results)),
        "",
        _core(run.results),
        "",
    )


_METHOD: Final = (
    "All servers run at once, each with one replica and one thread for its model, and are measured in turns by",
    "`h2load` on the same machine, whose other load affects all alike. gRPC runs over HTTP/2, REST over",
    "HTTP/1.1, by connections that stay open. All serve the same fitted pipeline and are asked about the same rows.",
    "**Peers have the easier work**: they are given the features and run the pipeline; we are given the contract's",
    "columns, check every value and compute the features. Before it is timed each door must answer one row and 1,000",
    "rows as the release does, within 1e-6, and while it is timed the answers must have the length of the right one.",
    "*At half* is a fixed rate of half the requests/s beside it, evenly spaced. Ratios are taken turn by turn, against",
    "the best peer of that turn. The top of each peer's module in `comparison/` describes its settings.",
)
