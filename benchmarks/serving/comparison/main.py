"""Measures our service against its peers: `./pants run benchmarks/serving`, which gives the two binaries.

It needs `h2load`. All servers run at once and are measured in turns; a time counts
only if the answers are right. Writes `benchmarks/serving/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from athanor.errors import AthanorError
from athanor.home import Home
from serving.comparison.contenders import ATHANOR, CONTENDERS, Contender
from serving.comparison.doors import TYPED_GRPC
from serving.comparison.goals import Results
from serving.comparison.home import make_home
from serving.comparison.load import demand_h2load
from serving.comparison.measure import Alone, Lane, Turn, measure_core, open_lane
from serving.comparison.ours import make_core
from serving.comparison.prepare import Prepared, prepare
from serving.comparison.report import Run, show, write, write_json
from serving.comparison.scenarios import SCENARIOS
from serving.comparison.servers import Site
from suite.console import make_console

_RESULTS: Final = Path("benchmarks/serving/RESULTS.md")
_PARTS: Final[Mapping[str, Sequence[Contender]]] = {"peers": CONTENDERS, "options": SCENARIOS}
# Turns, and seconds for each figure.
_WHOLE: Final = (3, 1.5)
_QUICK: Final = (1, 0.5)
_OURS: Final = ("ray", "grpcio", "onnxruntime", "scikit-learn", "numpy")
_THEIRS: Final = ("mlserver", "bentoml", "mlflow", "scikit-learn")
_TELL_VERSIONS: Final = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def compete(contenders: Sequence[Contender], site: Site, turns: int, seconds: float, progress: Progress) -> Results:
    """Starts all, checks all, and measures all in turns. Raises RuntimeError if one fails or answers wrongly."""
    with ExitStack() as running:
        task = progress.add_task("start", total=len(contenders))
        lanes: list[Lane] = []
        # One after another: two that start at once may wait for one another for longer than they have patience.
        for contender in contenders:
            progress.update(task, description=f"start {contender.name}, ask for the right answers")
            server = running.enter_context(contender.start(site))
            lanes += [open_lane(contender, door, server, site) for door in contender.doors]
            progress.advance(task)
        return _measure(lanes, site.prepared, turns, seconds, progress, with_core=ATHANOR in contenders)


def _measure(
    lanes: Sequence[Lane], prepared: Prepared, turns: int, seconds: float, progress: Progress, *, with_core: bool
) -> Results:
    core = make_core(prepared.model.contract, prepared.store) if with_core else None
    measured: dict[str, list[Turn]] = {lane.name: [] for lane in lanes}
    alone: list[Alone] = []
    task = progress.add_task("measure", total=turns * len(lanes))
    for number in range(turns):
        if core is not None:
            progress.update(task, description=f"turn {number + 1}: the core in process")
            alone.append(measure_core(core, prepared, TYPED_GRPC, seconds))
        for lane in lanes:
            progress.update(task, description=f"turn {number + 1}: {lane.name}")
            measured[lane.name].append(lane.take_turn(seconds, number))
            progress.advance(task)
    return Results(measured, {lane.name: lane.contender.kind for lane in lanes}, alone)


def _choose(contenders: Sequence[Contender], options: argparse.Namespace) -> list[Contender]:
    named = [one for one in contenders if not options.only or one.name in options.only]
    return [one for one in named if one.is_quick or options.only or not options.quick]


def _join(parts: Sequence[Results]) -> Results:
    return Results(
        {name: turns for part in parts for name, turns in part.turns.items()},
        {name: kind for part in parts for name, kind in part.kinds.items()},
        [one for part in parts for one in part.alone],
    )


def _versions(peers: str) -> dict[str, str]:
    done = subprocess.run([peers, "-c", _TELL_VERSIONS, *_THEIRS], capture_output=True, text=True, check=True)
    theirs: dict[str, str] = json.loads(done.stdout)
    return {**{name: metadata.version(name) for name in _OURS}, **theirs}


def _read_options() -> argparse.Namespace:
    everybody = [contender.name for part in _PARTS.values() for contender in part]
    parser = argparse.ArgumentParser(prog="./pants run benchmarks/serving --", description=__doc__)
    parser.add_argument("peers", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help="with a promoted release; one is made for the run if not given")
    parser.add_argument(
        "--quick", action="store_true", help="a short turn of fewer contenders, RESULTS.md stays as it is"
    )
    parser.add_argument("--turns", type=int, help="of each, 3 if not given")
    parser.add_argument("--seconds", type=float, help="for each figure in each turn, 1.5 if not given")
    parser.add_argument("--part", choices=_PARTS, help="one part alone; RESULTS.md stays as it is")
    parser.add_argument(
        "--only", choices=everybody, action="append", default=[], help="those alone; RESULTS.md stays as it is"
    )
    parser.add_argument("--json", type=Path, help="file for the goals, and every figure of every turn")
    options = parser.parse_args()
    turns, seconds = _QUICK if options.quick else _WHOLE
    options.turns = options.turns or turns
    options.seconds = options.seconds or seconds
    return options


def _run(options: argparse.Namespace, console: Console) -> Run:
    demand_h2load()
    with tempfile.TemporaryDirectory(prefix="athanor-benchmark-") as folder, Progress(console=console) as progress:
        task = progress.add_task("train the champion, fit its pipeline anew", total=1)
        home = Home.find(options.home) if options.home else make_home(Path(folder, "home"))
        site = Site(prepare(home, Path(folder)), options.peers, Path(folder, "servers"))
        progress.advance(task)
        results = []
        for name, contenders in _PARTS.items():
            chosen = _choose(contenders, options)
            if options.part in (None, name) and chosen:
                results.append(compete(chosen, site, options.turns, options.seconds, progress))
        return Run(_join(results), _versions(options.peers), options.seconds)


def main() -> int:
    options, console = _read_options(), make_console()
    try:
        run = _run(options, console)
    except (AthanorError, RuntimeError) as error:
        console.print(f"[red]{type(error).__name__}[/red]: {error}", markup=True, soft_wrap=True)
        return 1
    show(run, console)
    if options.json:
        write_json(run, options.json)
    if not (options.part or options.only or options.quick):
        write(run, _RESULTS)
        console.print(f"written: {_RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
