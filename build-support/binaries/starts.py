"""Times starts of the binaries in dist/ and compares them with 3rdparty/python/budgets.toml."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from binaries.budgets import FILE, Budget, read
from binaries.pex_file import PexFile

PROJECT: Final = "flight_delay"
_CULPRITS: Final = 5


@dataclass(frozen=True)
class Start:
    """Seconds that one kind of start took, and its budget."""

    binary: str
    kind: str
    seconds: float
    budget_s: float

    @property
    def is_over(self) -> bool:
        return self.seconds > self.budget_s

    def __str__(self) -> str:
        verdict = "OVER" if self.is_over else "fine"
        return f"{self.binary:10} {self.kind:12} {self.seconds:7.2f} s of {self.budget_s:g} s  {verdict}"


@dataclass(frozen=True)
class Runner:
    """Runs binaries with a fresh cache, as on a machine that has never started one.

    Attributes:
        cache: where the binaries make their environments.
    """

    cache: Path

    @property
    def _environment(self) -> dict[str, str]:
        # Pants' variables for this process must not reach the binaries.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PEX", "PYTHON"))}
        return {**inherited, "PEX_ROOT": str(self.cache)}

    def time(self, command: Sequence[str | Path]) -> float:
        start = time.perf_counter()
        self.run(command)
        return time.perf_counter() - start

    def run(self, command: Sequence[str | Path], **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, check=False, env=self._environment | variables, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done


def measure_help(pex: Path, budget: Budget, runner: Runner, runs: int) -> Iterator[Start]:
    """The first start of `--help`, and the median of later ones."""
    yield Start(pex.stem, "--help cold", runner.time([pex, "--help"]), budget.cold_s)
    warm = statistics.median(runner.time([pex, "--help"]) for _ in range(runs))
    yield Start(pex.stem, "--help warm", warm, budget.warm_s)


def measure_ready(dist: Path, budget: Budget, runner: Runner, runs: int, home: Path | None) -> Iterator[Start]:
    """The median of the time until a service of the promoted release answers."""
    if budget.ready_s is None:
        return
    with tempfile.TemporaryDirectory(prefix="ready-") as folder:
        if home is None:
            home = Path(folder)
            print("making a release to serve, which takes minutes; --home uses an existing one", file=sys.stderr)
            runner.run([dist / "athanor.pex", "demo", "--home", home])
        seconds = statistics.median(_time_up(dist / "serving.pex", runner, home) for _ in range(runs))
    yield Start("serving", "ready", seconds, budget.ready_s)


def _time_up(pex: Path, runner: Runner, home: Path) -> float:
    ports = [f"--{door}-port={port}" for door, port in zip(("http", "grpc"), _free_ports(2), strict=True)]
    try:
        return runner.time([pex, "up", PROJECT, "--home", home, *ports])
    finally:
        runner.run([pex, "down", PROJECT, "--home", home])


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def find_costliest_imports(pex: Path, entry_point: str, runner: Runner) -> list[str]:
    """The modules that slow `--help` most, without the modules that they import."""
    command: list[str | Path] = [pex, "-Ximporttime", "-m", entry_point, "--help"]
    return costliest(runner.run(command, PEX_INTERPRETER="1").stderr)


def costliest(importtime: str) -> list[str]:
    """The slowest modules in the output of CPython's `-X importtime`."""
    found = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", importtime, re.MULTILINE)
    most = sorted(((int(own), name) for own, name in found), reverse=True)[:_CULPRITS]
    return [f"{name} {own / 1000:.0f} ms" for own, name in most]


def report(starts: Sequence[Start], imports: Mapping[str, Sequence[str]]) -> int:
    """Prints each start, and the slowest imports of binaries over budget. Exit status 3 if any is."""
    for start in starts:
        print(start)
    for binary in sorted({start.binary for start in starts if start.is_over}):
        print(f"{binary}: costliest imports of --help: {', '.join(imports.get(binary, ())) or 'unknown'}")
    return 3 if any(start.is_over for start in starts) else 0


def main() -> int:
    budgets = read(FILE.read_text())
    parser = argparse.ArgumentParser(prog="build-support/binaries/starts", description=__doc__)
    parser.add_argument("binaries", nargs="*", help=f"one or more of {', '.join(budgets)}; all by default")
    parser.add_argument("--dist", type=Path, default=Path("dist"))
    parser.add_argument("--home", type=Path, help="home with a promoted release; by default a new one is made")
    parser.add_argument("--runs", type=int, default=5, help="number of warm starts; the median counts")
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    options = parser.parse_args()
    chosen = options.binaries or list(budgets)
    if unknown := set(chosen) - set(budgets):
        parser.error(f"unknown binary {', '.join(sorted(unknown))}; {FILE} has {', '.join(budgets)}")

    starts: list[Start] = []
    imports: dict[str, Sequence[str]] = {}
    dist = options.dist.absolute()
    # A short path: Ray's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="starts-") as cache:
        runner = Runner(Path(cache))
        for name in chosen:
            pex, budget = dist / f"{name}.pex", budgets[name]
            starts += measure_help(pex, budget, runner, options.runs)
            starts += measure_ready(dist, budget, runner, options.runs, options.home)
            if any(start.is_over for start in starts if start.binary == name):
                imports[name] = find_costliest_imports(pex, PexFile(pex).info["entry_point"], runner)
    if options.json:
        options.json.write_text(json.dumps([vars(start) for start in starts], indent=2) + "\n")
    return report(starts, imports)


if __name__ == "__main__":
    sys.exit(main())
