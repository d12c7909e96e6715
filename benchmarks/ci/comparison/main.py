"""Compares a change's run with a full run: tests, their seconds, and the time with caches and without.

Makes the edits of `tests/selection/cases.yaml` in a clone. Writes `benchmarks/ci/RESULTS.md`. With `--times` it tests
everything first, unless it is given the log of a full run and its caches; without, it prints only the shares, and the
effort if it is given that log. With `--quick` it makes the edits of one project alone, times one of them warm, and
writes no results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track
from selection.asking import ask, ask_for_everything
from selection.cases import Case, Selection, choose, read_cases
from selection.scratch import Scratch, environment, git, scratch_clone

from ci.comparison.report import OWN_TESTS_GOAL_S, PROJECT_EDITS, Full, Row, evaluate, write
from ci.comparison.timings import read_processes, read_timings
from suite.goals import Comparison, Goal, write_goals
from suite.machine import describe_machine

_TIMED: Final = (
    "a second project's features",
    "a second project's recipe",
    "the example's recipe",
    "serving's core",
    "the client",
    "a test",
    "a document",
)
_ERR: Final = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures as the command line says, and writes the results."""
    options = _parse(arguments)
    root = Path(git(Path.cwd(), "rev-parse", "--show-toplevel").strip())
    cases = read_cases(root / "tests/selection/cases.yaml")
    with scratch_clone(root) as scratch:
        if options.quick:
            goals = measure_quickly(scratch, cases)
        else:
            rows, full = measure(scratch, cases, options)
            write(rows, full, _machine(), root / "benchmarks/ci/RESULTS.md")
            goals = tuple(evaluate(rows, full))
    if options.json:
        write_goals(options.json, goals)
    return 0


def measure(scratch: Scratch, cases: Sequence[Case], options: argparse.Namespace) -> tuple[tuple[Row, ...], Full]:
    """Each edit, and the full run, as far as the command line says."""
    with tempfile.TemporaryDirectory(prefix="affected-") as folder:
        caches = options.caches or Path(folder) / "warm"
        full, log = _read_or_run_everything(scratch, caches, options)
        everything = ask_for_everything(scratch)
        effort = read_timings(log, _ask_for_processes(scratch)) if log else None
        selected = read_selected(options.selected) if options.selected else ask_all(scratch, cases, everything)
        rows = shares(cases, selected, everything.tests, effort)
        if options.times:
            timed = choose(cases, options.edit or _TIMED)
            of_each = times(scratch, timed, caches, cold=options.edit or PROJECT_EDITS)
            spent = dict(track(of_each, "times", total=len(timed), console=_ERR))
            rows = tuple(Row(row.edit, row.tests, row.share, row.effort, *spent.get(row.edit, ())) for row in rows)
    return rows, full


def measure_quickly(scratch: Scratch, cases: Sequence[Case]) -> tuple[Goal, ...]:
    """Shares of one project's edits, and the time of its own tests after one of them."""
    chosen = choose(cases, PROJECT_EDITS)
    everything = ask_for_everything(scratch)
    selected = ask_all(scratch, chosen, everything)
    rows = shares(chosen, selected, everything.tests, effort=None)
    return (*evaluate(rows, Full()), time_own_tests(scratch, chosen[0], selected[chosen[0].name]))


def time_own_tests(scratch: Scratch, case: Case, tests: Collection[str]) -> Goal:
    """Seconds from a project's edit to the result of its tests, with a warm daemon and the caches of this machine.

    Leaves out tests of binaries: these are packaged first, which a whole run measures.
    """
    command = ("./pants", "test", *sorted(test for test in tests if test.startswith("tests/projects/")))
    _run(scratch.root, environment(), command)
    with scratch.edited(case.edits):
        seconds, _ = _run(scratch.root, environment(), command)
    name = "time from a project's edit to the result of its own tests, warm"
    return Goal(name, seconds, OWN_TESTS_GOAL_S, Comparison.AT_MOST, "s")


def ask_all(scratch: Scratch, cases: Sequence[Case], everything: Selection) -> Mapping[str, Collection[str]]:
    """By edit, the tests it selects."""
    selected = {}
    for case in track(cases, "shares", console=_ERR):
        with scratch.edited(case.edits):
            selected[case.name] = ask(scratch, everything).selection.tests
    return selected


def read_selected(path: Path) -> Mapping[str, Collection[str]]:
    """By edit, the tests it selects, as the runner of tests/selection printed it for machines."""
    said = json.loads(path.read_text(encoding="utf-8"))
    return {case["case"]: case["selected"]["tests"] for case in said["cases"]}


def shares(
    cases: Sequence[Case],
    selected: Mapping[str, Collection[str]],
    everything: Collection[str],
    effort: Mapping[str, float] | None,
) -> tuple[Row, ...]:
    """For each edit, how much of all it selects."""
    return tuple(_share(case.name, selected[case.name], everything, effort) for case in cases)


def _share(edit: str, tests: Collection[str], everything: Collection[str], effort: Mapping[str, float] | None) -> Row:
    # A test that the edit brought has no time yet.
    of_all = sum(effort.get(test, 0.0) for test in tests) / sum(effort.values()) if effort else None
    return Row(edit, len(tests), len(tests) / len(everything), of_all)


def times(
    scratch: Scratch, cases: Sequence[Case], caches: Path, cold: Collection[str]
) -> Iterator[tuple[str, tuple[float, float | None]]]:
    """For each edit, seconds with the caches of the commit before, and without any where that is asked for."""
    affected = ("build-support/ci/affected", "--since", scratch.base, "--only", "test")
    for case in cases:
        with scratch.edited(case.edits), tempfile.TemporaryDirectory(prefix="affected-") as empty:
            warm, _ = _run(scratch.root, _alone(caches), affected)
            without = _run(scratch.root, _alone(Path(empty)), affected)[0] if case.name in cold else None
        yield case.name, (warm, without)


def _ask_for_processes(scratch: Scratch) -> Mapping[str, Hashable]:
    """Which tests share a process."""
    command = ("./pants", "--filter-target-type=python_test", "peek", "::")
    done = subprocess.run(command, cwd=scratch.root, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
    return read_processes(done.stdout)


def _read_or_run_everything(scratch: Scratch, caches: Path, options: argparse.Namespace) -> tuple[Full, str | None]:
    if options.times and not options.log:
        return _run_everything(scratch, caches)
    log = options.log.read_text(encoding="utf-8") if options.log else None
    return Full(options.full_seconds, options.again_seconds), log


def _run_everything(scratch: Scratch, caches: Path) -> tuple[Full, str]:
    cold, log = _run(scratch.root, _alone(caches), ("./pants", "test", "::"))
    warm, _ = _run(scratch.root, _alone(caches), ("./pants", "test", "::"))
    return Full(cold, warm), log


def _alone(caches: Path) -> Mapping[str, str]:
    """The environment of Pants with caches of its own, and without a daemon, whose memory would warm a cold run."""
    places = {"PANTS_LOCAL_STORE_DIR": str(caches / "store"), "PANTS_NAMED_CACHES_DIR": str(caches / "named")}
    return {**environment(), **places, "PANTS_PANTSD": "false"}


def _run(root: Path, environment: Mapping[str, str], command: Sequence[str]) -> tuple[float, str]:
    """Seconds and output of a command. Raises if a test fails."""
    start = time.monotonic()
    done = subprocess.run(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return time.monotonic() - start, done.stdout


def _machine() -> str:
    return f"{datetime.now(UTC).date().isoformat()}, {describe_machine()}."


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="affected", description=__doc__)
    parser.add_argument("--times", action="store_true", help="test everything, then some edits with caches and without")
    parser.add_argument("--quick", action="store_true", help="edit one project alone; RESULTS.md stays as it is")
    parser.add_argument("--json", type=Path, help="file for the goals")
    parser.add_argument(
        "--edit", action="append", default=[], metavar="NAME", help="time this one, and others so named"
    )
    parser.add_argument(
        "--selected", type=Path, help="output of `tests/selection/runner.py -- --json`, to avoid running it again"
    )
    parser.add_argument("--log", type=Path, help="what `./pants test ::` printed when all ran: for the effort")
    parser.add_argument("--full-seconds", type=float, help="how long that took, with empty caches")
    parser.add_argument("--again-seconds", type=float, help="how long it took again, when nothing had changed")
    parser.add_argument(
        "--caches", type=Path, help="Pants' caches after that, `store` and `named`: with --times, instead of a full run"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
