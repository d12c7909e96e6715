"""The benchmarks, and one run of one of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from suite.goals import Goal, read_goals
from suite.pants import run_pants

LOGS: Final = Path("dist/benchmarks")
_LAST_LINES: Final = 12


@dataclass(frozen=True)
class Benchmark:
    """A program that takes `--quick` and `--json FILE`.

    Attributes:
        target: what `./pants run` takes.
        whole: arguments of a run that is not quick.
    """

    name: str
    target: str
    whole: tuple[str, ...] = ()


BENCHMARKS: Final = (
    Benchmark("data", "benchmarks/data"),
    Benchmark("training", "benchmarks/training/main.py"),
    Benchmark("serving", "benchmarks/serving"),
    Benchmark("many", "benchmarks/many/main.py"),
    Benchmark("resilience", "benchmarks/resilience/main.py"),
    Benchmark("ci", "benchmarks/ci/comparison/main.py", whole=("--times",)),
)


@dataclass(frozen=True)
class Outcome:
    """Result of a benchmark.

    Attributes:
        failure: why it could not run, with the end of its output; empty if it did.
        log: file with its whole output, from the repository's root.
    """

    name: str
    seconds: float
    goals: Sequence[Goal] = ()
    failure: str = ""
    log: Path = Path()


def run_benchmark(
    benchmark: Benchmark, root: Path, environment: Mapping[str, str], *, quick: bool, more: Sequence[str] = ()
) -> Outcome:
    """Runs a benchmark by Pants; a failure is an outcome too.

    Args:
        environment: of Pants.
        more: further arguments.
    """
    log = LOGS / f"{benchmark.name}.log"
    (root / LOGS).mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        report = Path(folder, "goals.json")
        arguments = [*(("--quick",) if quick else benchmark.whole), *more, f"--json={report}"]
        status = run_pants(root, ["run", benchmark.target, "--", *arguments], environment, root / log)
        goals = read_goals(report) if report.exists() else ()
    failure = "" if goals and not status else _explain(status, root / log)
    return Outcome(benchmark.name, time.monotonic() - start, () if failure else goals, failure, log)


def _explain(status: int, log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    reason = f"ended with {status}" if status else "reported no goals"
    return "\n".join([f"{reason}:", *lines[-_LAST_LINES:]])
