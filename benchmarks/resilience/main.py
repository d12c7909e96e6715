"""Tries what a service withstands: strangers, one heavy caller, the death of each of its processes, and its end.

`./pants run benchmarks/resilience`. Everything is bounded in count and time, and stays on this machine. Writes
`benchmarks/resilience/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from resilience import callers, deaths, drains, strangers
from resilience.service import Questions, Service, running_service
from rich.progress import Progress
from rich.table import Table

from athanor.home import Home
from projects.flight_delay.recipe import RECIPE
from serving.comparison.home import make_home
from suite.console import make_console
from suite.goals import GOAL_COLUMNS, Goal, goal_row, write_goals
from suite.machine import describe_machine
from suite.results import markdown, rewrite

_RESULTS: Final = Path("benchmarks/resilience/RESULTS.md")
_PARTS: Final[Mapping[str, Callable[[Service], Iterator[Goal]]]] = {
    "strangers": strangers.measure,
    "callers": callers.measure,
    "deaths": deaths.measure,
    "drains": drains.measure,
}
_QUICK: Final = ("callers", "drains")


def measure(home: Home, parts: list[str], progress: Progress) -> Iterator[Goal]:
    """Each part against a service of its own."""
    questions = Questions.of(RECIPE.model.name, home)
    task = progress.add_task("start", total=len(parts))
    for name in parts:
        progress.update(task, description=name)
        with running_service(questions, home) as service:
            for goal in _PARTS[name](service):
                progress.console.print(" · ".join(goal_row(goal)))
                yield goal
        progress.advance(task)


def main() -> int:
    """Runs the parts that the command line names."""
    options = _parse()
    console = make_console()
    with tempfile.TemporaryDirectory(prefix="resilience-") as folder, Progress(console=console) as progress:
        made = Home.find(options.home) if options.home else make_home(Path(folder, "made"))
        home = Home(Path(folder, "home"))
        shutil.copytree(made.store, home.store)
        parts = options.part or list(_QUICK if options.quick else _PARTS)
        goals = list(measure(home, parts, progress))
    table = Table(*GOAL_COLUMNS)
    for goal in goals:
        table.add_row(*goal_row(goal))
    console.print(table)
    if options.json:
        write_goals(options.json, goals)
    if not (options.part or options.quick):
        rewrite(_RESULTS, _lines(goals))
    return 0


def _lines(goals: Sequence[Goal]) -> Iterator[str]:
    yield from (
        "# What a service withstands",
        "",
        "Made by `./pants run benchmarks/resilience`; only what stands below *What limits us* is written by hand.",
        "",
        f"{datetime.now(UTC).date().isoformat()}, {describe_machine()}.",
        "",
        *markdown(GOAL_COLUMNS, map(goal_row, goals)),
        "",
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./pants run benchmarks/resilience --", description=__doc__)
    parser.add_argument("--home", type=Path, help="with a promoted release of the example; made if not given")
    parser.add_argument(
        "--part", choices=_PARTS, action="append", default=[], help="this part alone, and others so named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="heavy callers and drains alone; RESULTS.md stays as it is"
    )
    parser.add_argument("--json", type=Path, help="file for the goals")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
