"""Runs every benchmark, one after another, and shows each goal with its figure.

Exit status: 0 all ran, 1 one could not run, 2 the history or the command line is wrong, 3 with `--strict` a goal is
missed. A quick run takes about ten minutes on two cores and shows where things stand; a whole one takes hours and
rewrites each RESULTS.md. Only figures from an idle machine are worth keeping.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from suite.benchmarks import BENCHMARKS, Benchmark, Outcome, run_benchmark
from suite.console import make_console
from suite.history import Entry, HistoryError, append, read
from suite.machine import this_machine
from suite.pants import inner_daemon
from suite.report import make_table, summarise, to_json

_COULD_NOT_RUN: Final = 1
_BAD_INPUT: Final = 2
_GOAL_MISSED: Final = 3
_ERR: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Runs the benchmarks that the command line names."""
    options = _parse(arguments)
    # Pants runs programs from the repository's root.
    root = root or Path.cwd()
    try:
        history = read(options.history) if options.history else None
    except HistoryError as error:
        _ERR.print(f"benchmarks: {error}", style="red", markup=False)
        return _BAD_INPUT
    outcomes = tuple(_run_all(_choose(options.only), root, options))
    entry = _entry(outcomes, root, quick=options.quick)
    if options.history and entry.goals:
        append(options.history, entry)
    _show(outcomes, entry, history, as_json=options.json)
    if any(outcome.failure for outcome in outcomes):
        return _COULD_NOT_RUN
    is_missed = any(not goal.is_reached for outcome in outcomes for goal in outcome.goals)
    return _GOAL_MISSED if options.strict and is_missed else 0


def _choose(names: Sequence[str]) -> tuple[Benchmark, ...]:
    return tuple(one for one in BENCHMARKS if not names or one.name in names)


def _run_all(chosen: Sequence[Benchmark], root: Path, options: argparse.Namespace) -> Iterator[Outcome]:
    """Goes on after a failure."""
    with inner_daemon(root) as environment:
        for number, benchmark in enumerate(chosen, 1):
            more = [f"--home={options.home.absolute()}"] if options.home and benchmark.name == "serving" else []
            words = f"[{number}/{len(chosen)}] {benchmark.name}"
            with _ERR.status(words):
                outcome = run_benchmark(benchmark, root, environment, quick=options.quick, more=more)
            said = "could not run" if outcome.failure else f"{len(outcome.goals)} goals measured"
            _ERR.print(f"{words}: {said} in {outcome.seconds:.0f} s, output in {outcome.log}", markup=False)
            yield outcome


def _entry(outcomes: Sequence[Outcome], root: Path, *, quick: bool) -> Entry:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    goals = {outcome.name: outcome.goals for outcome in outcomes if outcome.goals}
    return Entry(datetime.now(UTC), asked.stdout.strip(), this_machine(), quick, goals)


def _show(outcomes: Sequence[Outcome], entry: Entry, history: Sequence[Entry] | None, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{to_json(outcomes)}\n")
    else:
        console = make_console()
        console.print(make_table(outcomes, entry, history))
        if history is not None:
            console.print("change: against the median of the last ten runs on the same kind of machine")
    for outcome in outcomes:
        if outcome.failure:
            _ERR.print(f"\n{outcome.name} {outcome.failure}", markup=False)
    _ERR.print(summarise(outcomes), markup=False)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="./pants run benchmarks --", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less; RESULTS.md files stay as they are")
    parser.add_argument("--only", action="append", default=[], choices=names, help="this one; may be repeated")
    parser.add_argument("--home", type=Path, help="home with a promoted release, to serve it; made if not given")
    parser.add_argument("--history", type=Path, help="file to append the figures to; the table shows their change")
    parser.add_argument("--strict", action="store_true", help="exit with 3 if a goal is missed")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
