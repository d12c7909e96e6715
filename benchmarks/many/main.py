"""Compares fifty models in one replica with one: memory, start, speed, a flood of one of them, and a new one.

`./pants run benchmarks/many/main.py`. It needs `h2load`. Both services run at once and are measured in turns. Writes
`benchmarks/many/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from many.flood import FLOOD_CALLERS, FLOOD_ROWS, ask_steadily, flooding
from many.processes import read_cpu_s, read_pss_mib
from many.services import MANY, Site, make_home, running
from many.speed import measure_speed
from many.store import name_models, publish
from resilience.service import Questions
from rich.table import Table

from athanor.home import Home
from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from projects.flight_delay.recipe import RECIPE
from serving.comparison import home as trained
from serving.comparison.load import demand_h2load
from suite.console import make_console
from suite.goals import GOAL_COLUMNS, Comparison, Goal, goal_row, write_goals
from suite.machine import describe_machine
from suite.results import markdown, rewrite

_RESULTS: Final = Path("benchmarks/many/RESULTS.md")
_LARGE_ROWS: Final = 10_000
_PARTS: Final = ("start", "idle", "memory", "speed", "flood", "arrival")


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        turns: of the lanes; also the number of models that arrive.
        seconds: of each figure in a turn.
        starts: of each service.
    """

    turns: int
    seconds: float
    starts: int


_WHOLE: Final = Scale(turns=5, seconds=3.0, starts=3)
_QUICK: Final = Scale(turns=3, seconds=1.5, starts=1)


def measure_memory(one: Site, many: Site) -> Iterator[Goal]:
    """Proportional resident memory of the replicas, when each model has answered: a row, then many at once."""
    for rows, limit in ((1, 10.0), (_LARGE_ROWS, 20.0)):
        held = []
        for site in (one, many):
            for questions in site.questions:
                site.ask(questions, rows)
            held.append(read_pss_mib(site.pid))
        each = (held[1] - held[0]) / (len(many.questions) - len(one.questions)) - many.graph_mib
        shown = f"{held[0]:,.0f} and {held[1]:,.0f} MiB in all"
        yield Goal(
            f"memory of a model beyond its graph, asked {rows:,} rows", each, limit, Comparison.AT_MOST, "MiB", shown
        )


def measure_flood(many: Site, folder: Path, seconds: float) -> Iterator[Goal]:
    """One row of each other model, while the first one gets more than it may."""
    others = many.questions[1:]
    alone = ask_steadily(many, others, seconds)
    with flooding(many, folder, seconds) as flood:
        beside = ask_steadily(many, others, seconds)
    words = f"beside {FLOOD_CALLERS} callers of {FLOOD_ROWS:,} rows"
    told = f"{flood.answered} answered, {flood.refused} refused"
    yield Goal(f"requests of others {words}, not answered", beside.failed, 0, Comparison.AT_MOST, "", told)
    yield Goal("p99 of others without a flood", alone.p99_ms, 25.0, Comparison.AT_MOST, "ms")
    yield Goal(f"p99 of others {words}", beside.p99_ms, 200.0, Comparison.AT_MOST, "ms")


def measure_arrival(many: Site, release: Release, folder: Path, turns: int) -> Iterator[Goal]:
    """A new model, from the moment when its traffic file is there."""
    store, took = ReleaseStore(many.home.store), []
    for traffic in publish(release, name_models(MANY, turns), store, folder / "arriving"):
        questions = Questions(
            store.read(traffic.model, traffic.require_champion().digest).contract, many.questions[0].rows
        )
        began = time.monotonic()
        store.write_traffic(traffic)
        many.wait(questions)
        took.append(time.monotonic() - began)
    shown = ", ".join(f"{each:.2f}" for each in took)
    yield Goal("from the traffic file of a new model to its answer", max(took), 2.0, Comparison.AT_MOST, "s", shown)


def measure_idle(one: Site, many: Site, seconds: float) -> Iterator[Goal]:
    """Processor time of the replicas, without requests."""
    before = [read_cpu_s(site.pid) for site in (one, many)]
    time.sleep(seconds)
    used = [(read_cpu_s(site.pid) - was) / seconds for site, was in zip((one, many), before, strict=True)]
    shown = f"{used[0]:.1%} with one model"
    yield Goal("processor of an idle replica", used[1], 0.05, Comparison.AT_MOST, "of a core", shown)


def measure_start(homes: Sequence[tuple[Home, int]], release: Release, starts: int) -> Iterator[Goal]:
    """From the command to the answer of the last model; the quickest start of several."""
    took: dict[int, list[float]] = {count: [] for _, count in homes}
    for _ in range(starts):
        for home, count in homes:
            with running(home, release, count) as site:
                took[count].append(site.start_s)
    one, many = (min(took[count]) for _, count in homes)
    shown = f"{one:.1f} and {many:.1f} s"
    yield Goal("start of many models, more than of one", many - one, 5.0, Comparison.AT_MOST, "s", shown)


def measure(release: Release, folder: Path, parts: Sequence[str], scale: Scale) -> Iterator[Goal]:
    """The parts of that name."""
    homes = [(make_home(release, count, folder / str(count)), count) for count in (1, MANY)]
    if "start" in parts:
        yield from measure_start(homes, release, scale.starts)
    with ExitStack() as stack:
        one, many = (stack.enter_context(running(home, release, count)) for home, count in homes)
        measured: Mapping[str, Callable[[], Iterator[Goal]]] = {
            "idle": lambda: measure_idle(one, many, 4 * scale.seconds),
            "memory": lambda: measure_memory(one, many),
            "speed": lambda: measure_speed(one, many, folder, scale.turns, scale.seconds),
            "flood": lambda: measure_flood(many, folder, 4 * scale.seconds),
            "arrival": lambda: measure_arrival(many, release, folder, scale.turns),
        }
        for name in parts:
            yield from measured.get(name, lambda: iter(()))()


def main() -> int:
    """Runs it."""
    options, console = _parse(), make_console()
    demand_h2load()
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        made = Home.find(options.home) if options.home else trained.make_home(Path(folder, "trained"))
        store = ReleaseStore(made.store)
        release = store.read(RECIPE.model.name, store.read_traffic(RECIPE.model.name).require_champion().digest)
        goals = []
        parts, scale = options.part or _PARTS, _QUICK if options.quick else _WHOLE
        for goal in measure(release, Path(folder), parts, scale):
            console.print(" · ".join((*goal_row(goal), goal.against)))
            goals.append(goal)
    table = Table(*GOAL_COLUMNS, "")
    for goal in goals:
        table.add_row(*goal_row(goal), goal.against)
    console.print(table)
    if options.json:
        write_goals(options.json, goals)
    if not (options.part or options.quick):
        rewrite(_RESULTS, _lines(goals))
    return 0


def _lines(goals: Sequence[Goal]) -> Iterator[str]:
    yield from (
        "# Fifty models in one replica",
        "",
        "Made by `./pants run benchmarks/many/main.py`; only what stands below *What limits us* is written by hand.",
        "",
        f"{datetime.now(UTC).date().isoformat()}, {describe_machine()}.",
        "",
        *markdown((*GOAL_COLUMNS, "one and fifty"), ((*goal_row(goal), goal.against) for goal in goals)),
        "",
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./pants run benchmarks/many/main.py --", description=__doc__)
    parser.add_argument("--home", type=Path, help="with a promoted release of the example; made if not given")
    parser.add_argument(
        "--part", choices=_PARTS, action="append", default=[], help="this part alone, and others so named"
    )
    parser.add_argument("--quick", action="store_true", help="measure less; RESULTS.md stays as it is")
    parser.add_argument("--json", type=Path, help="file for the goals")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
