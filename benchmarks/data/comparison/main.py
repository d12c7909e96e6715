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
from data.comparison.report import Outcome, Results, show, write

_RESULTS: Final = Path("benchmarks/data/RESULTS.md")
_ROUNDS: Final = 2
_LEAST_S: Final = 1.5
# No telemetry.
_QUIET: Final = {"GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Arena:
    """Where contenders run.

    Attributes:
        peers: the peers' binary.
        inputs: what `prepare` has made.
        scratch: for folders that contenders write into, each a fresh one.
    """

    peers: str
    inputs: Path
    scratch: Path

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
            measured = arena.run(contender, rounds=_ROUNDS, least_s=_LEAST_S)
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="./pants run benchmarks/data --", description=__doc__)
    parser.add_argument("peers", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=3, help="turns of each contender, 3 if not given")
    parser.add_argument("--only", choices=[contest.name for contest in CONTESTS], help="one contest; writes no file")
    parser.add_argument("--times", type=int, default=10, help="copies of the flights to stream, 10 if not given")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    chosen = [contest for contest in CONTESTS if options.only in (None, contest.name)]
    with tempfile.TemporaryDirectory(prefix="athanor-benchmark-") as folder:
        arena = Arena(options.peers, Path(folder, "inputs"), Path(folder))
        arena.inputs.mkdir()
        prepared = arena.run(Contender("the preparation", "prepare", "prepare", is_peer=False))
        outcomes: dict[str, Outcome] = {}
        for contest in chosen:
            console.print(f"[bold]{contest.title}[/bold]")
            outcomes[contest.name] = compete(contest, arena, options.repeats, prepared.found, console)
        streamed = None
        if options.times and not options.only:
            console.print(f"[bold]Stream the flights {options.times} times over[/bold]")
            streamed = stream(arena, options.times)
    results = Results(outcomes, options.times, streamed)
    show(results, console)
    if not options.only:
        write(results, _RESULTS)
        console.print(f"written: {_RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
