"""Measures our data layer against its peers: `./pants run benchmarks/data`, which gives the two binaries.

Every contender of a contest runs in turn, each in a process of its own, and the turns are repeated: what else the
machine does falls on all alike. A time counts only if the results agree. Writes `benchmarks/data/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from data.comparison import inputs
from data.comparison.contenders import CONTESTS, Contender, Contest
from data.comparison.measure import Measurement, read_measurement
from data.comparison.report import Outcome, Results, evaluate, show, write
from suite.console import make_console
from suite.goals import write_goals

_RESULTS: Final = Path("benchmarks/data/RESULTS.md")
_ROUNDS: Final = 2
# No telemetry.
_QUIET: Final = {"GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Arena:
    """Where contenders run.

    Attributes:
        peers: the peers' binary.
        inputs: what `prepare` has made.
        scratch: for folders that contenders write into, each a fresh one.
        least_s: how long a timed task lasts at least.
    """

    peers: str
    inputs: Path
    scratch: Path
    least_s: float

    def run(self, contender: Contender, task: str = "", rounds: int = 1, least_s: float = 0.0) -> Measurement:
        """Runs a task of a contender, its own if none is named, for so many rounds and so long at least.

        Raises:
            RuntimeError: it failed; the message holds its output.
        """
        python = self.peers if contender.is_peer else sys.executable
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            written = Path(folder, "measurement.json")
            command = [python, "-m", f"data.comparison.{contender.module}", task or contender.task]
            command += [str(self.inputs), folder, str(written), f"--rounds={rounds}", f"--least-s={least_s}"]
            ended = subprocess.run(command, env=os.environ | _QUIET, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise RuntimeError(f"{contender.name} failed:\n{ended.stdout}{ended.stderr}")
            return read_measurement(written)


def compete(contest: Contest, arena: Arena, repeats: int, planted: Mapping[str, float], console: Console) -> Outcome:
    """Runs a contest.

    Args:
        planted: what is to be found in the planted rows.

    Raises:
        RuntimeError: a contender failed, or found something else.
    """
    for contender in contest.contenders:
        if contender.planted:
            console.print(f"  {contender.name}: finds what was planted?")
            wanted = {name: value for name, value in planted.items() if not name.endswith(contender.lacks)}
            _demand(contest, contender, wanted, arena.run(contender, contender.planted).found)
    outcome: dict[str, list[Measurement]] = {contender.name: [] for contender in contest.contenders}
    for turn in range(repeats):
        for contender in contest.contenders:
            measured = arena.run(contender, rounds=_ROUNDS, least_s=arena.least_s)
            console.print(f"  turn {turn + 1}: {contender.name}: {min(measured.seconds):.3f} s")
            outcome[contender.name].append(measured)
            _demand(contest, contender, outcome[contest.ours.name][0].found, measured.found)
    return outcome


def _demand(contest: Contest, contender: Contender, expected: Mapping[str, float], found: Mapping[str, float]) -> None:
    """Times of different work are not compared."""
    if problems := list(contest.compare(expected, found)):
        raise RuntimeError("\n  ".join([f"{contender.name} found something else than expected:", *problems]))


def stream(arena: Arena, times: int) -> Measurement:
    """Builds a snapshot of the flights so many times over."""
    Path(arena.inputs, inputs.TIMES).write_text(str(times))
    arena.run(Contender("the generator of flights", "many_flights", "generate", is_peer=False))
    return arena.run(Contender("Athanor on many flights", "many_flights", "build", is_peer=False))


@dataclass(frozen=True)
class Extent:
    """How much a run measures.

    Attributes:
        repeats: turns of each contender.
        times: copies of the flights to stream.
        least_s: how long a timed task lasts at least.
    """

    repeats: int
    times: int
    least_s: float


_WHOLE: Final = Extent(repeats=3, times=10, least_s=1.5)
_QUICK: Final = Extent(repeats=1, times=3, least_s=0.5)


def run(options: argparse.Namespace, console: Console) -> Results:
    """Runs the contests that the command line names, and streams the flights."""
    extent = _extent(options)
    contests = [contest.quick() if options.quick else contest for contest in CONTESTS]
    with tempfile.TemporaryDirectory(prefix="athanor-benchmark-") as folder:
        arena = Arena(options.peers, Path(folder, "inputs"), Path(folder), extent.least_s)
        arena.inputs.mkdir()
        prepared = arena.run(Contender("the preparation", "prepare", "prepare", is_peer=False))
        outcomes: dict[str, Outcome] = {}
        for contest in contests:
            if options.only in (None, contest.name):
                console.print(f"[bold]{contest.title}[/bold]")
                outcomes[contest.name] = compete(contest, arena, extent.repeats, prepared.found, console)
        streamed = None
        if extent.times and not options.only:
            console.print(f"[bold]Stream the flights {extent.times} times over[/bold]")
            streamed = stream(arena, extent.times)
    return Results(outcomes, extent.times, streamed)


def _extent(options: argparse.Namespace) -> Extent:
    """As the command line says, otherwise as a quick or a whole run has it."""
    default = _QUICK if options.quick else _WHOLE
    return Extent(
        repeats=default.repeats if options.repeats is None else options.repeats,
        times=default.times if options.times is None else options.times,
        least_s=default.least_s,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./pants run benchmarks/data --", description=__doc__)
    parser.add_argument("peers", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, help=f"turns of each contender, {_WHOLE.repeats} if not given")
    parser.add_argument("--only", choices=[contest.name for contest in CONTESTS], help="one contest; writes no file")
    parser.add_argument("--times", type=int, help=f"copies of the flights to stream, {_WHOLE.times} if not given")
    parser.add_argument("--quick", action="store_true", help="one turn of fewer contenders; RESULTS.md stays as it is")
    parser.add_argument("--json", type=Path, help="file for the goals")
    return parser.parse_args()


def main() -> int:
    options, console = _parse(), make_console()
    results = run(options, console)
    show(results, console)
    if options.json:
        write_goals(options.json, evaluate(results))
    if not (options.only or options.quick):
        write(results, _RESULTS)
        console.print(f"written: {_RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
