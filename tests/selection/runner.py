"""Makes each edit of cases.yaml in scratch clones of the commit, asks what it selects, and compares.

Exit status: 0 all as expected, 1 the question could not be asked, 2 a case does not fit the tree, 3 a case differs.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from rich.console import Console
from rich.progress import track
from rich.table import Table
from selection.asking import ask, ask_for_everything
from selection.cases import Case, Selection, choose, read_cases
from selection.comparison import Outcome, compare
from selection.errors import AskError, CaseError
from selection.negative import CUT, CUT_CASE, is_noticed
from selection.scratch import Scratch, git, scratch_clone

CASES: Final = "tests/selection/cases.yaml"
_FAILED: Final = 1
_BAD_INPUT: Final = 2
_GATE_SAID_NO: Final = 3

# Pants answers with one core, and takes 20 s where a daemon must start.
_CLONES: Final = 2
_OUT: Final = Console(soft_wrap=True)
_ERR: Final = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases that the command line asks for, and the one whose dependency is cut."""
    options = _parse(arguments)
    # Terminated, the run must still remove its clone and stop its daemon.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_FAILED))
    try:
        root = Path(git(Path.cwd(), "rev-parse", "--show-toplevel").strip())
        cases = choose(read_cases(root / CASES), options.case)
        with ExitStack() as stack:
            clones = [stack.enter_context(scratch_clone(root)) for _ in range(min(_CLONES, len(cases)))]
            everything = ask_for_everything(clones[0])
            outcomes = tuple(track(run_cases(clones, cases, everything), "edits", total=len(cases), console=_ERR))
            noticed = None if options.case else is_noticed(clones[0], read_cases(root / CASES), everything)
    except CaseError as error:
        _ERR.print(f"selection: {error}", style="red", markup=False)
        return _BAD_INPUT
    except AskError as error:
        _ERR.print(f"selection: {error}", style="red", markup=False)
        return _FAILED
    _report(outcomes, everything, noticed, as_json=options.json)
    return 0 if noticed is not False and all(outcome.passed for outcome in outcomes) else _GATE_SAID_NO


def run_cases(clones: Sequence[Scratch], cases: Sequence[Case], everything: Selection) -> Iterator[Outcome]:
    """The outcome of each case, in order. Each clone makes one edit at a time."""
    free: SimpleQueue[Scratch] = SimpleQueue()
    for clone in clones:
        free.put(clone)

    def run(case: Case) -> Outcome:
        clone = free.get()
        try:
            with clone.edited(case.edits):
                return _run(clone, case, everything)
        finally:
            free.put(clone)

    with ThreadPoolExecutor(len(clones)) as pool:
        yield from pool.map(run, cases)


def _run(scratch: Scratch, case: Case, everything: Selection) -> Outcome:
    try:
        answer = ask(scratch, everything)
    except AskError as error:
        nothing = Selection()
        return Outcome(case.name, nothing, nothing, nothing, len(everything.tests), error=str(error))
    return compare(case, answer.selection, everything, seconds=answer.seconds, reason=answer.reason)


def table(outcomes: Sequence[Outcome]) -> Table:
    """One line for each case."""
    found = Table("edit", "tests", "share", "binaries", "images", "s", "verdict")
    for column in found.columns[1:6]:
        column.justify = "right"
    for outcome in outcomes:
        found.add_row(
            outcome.case,
            str(len(outcome.selected.tests)),
            f"{outcome.share:.0%}",
            str(len(outcome.selected.binaries)),
            str(len(outcome.selected.images)),
            f"{outcome.seconds:.1f}",
            "[green]as expected" if outcome.passed else "[red]differs",
        )
    return found


def as_data(outcome: Outcome) -> dict[str, object]:
    """An outcome for machines."""
    return {
        "case": outcome.case,
        "passed": outcome.passed,
        "share": outcome.share,
        "seconds": outcome.seconds,
        "reason": outcome.reason,
        "error": outcome.error,
        "selected": _lists(outcome.selected),
        "missing": _lists(outcome.missing),
        "surplus": _lists(outcome.surplus),
    }


def _report(outcomes: Sequence[Outcome], everything: Selection, noticed: bool | None, *, as_json: bool) -> None:
    if as_json:
        cases = [as_data(outcome) for outcome in outcomes]
        print(json.dumps({"everything": _lists(everything), "cut_noticed": noticed, "cases": cases}, indent=2))  # noqa: T201
        return
    _OUT.print(table(outcomes))
    for outcome in outcomes:
        for complaint in outcome.complaints():
            _OUT.print(complaint, style="red", markup=False)
    if noticed is not None:
        verdict = "noticed" if noticed else "NOT noticed"
        _OUT.print(f"{CUT}: {verdict} by the case {CUT_CASE!r}", style="green" if noticed else "red", markup=False)


def _lists(selection: Selection) -> dict[str, list[str]]:
    return {
        "tests": sorted(selection.tests),
        "binaries": sorted(selection.binaries),
        "images": sorted(selection.images),
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="selection", description=__doc__)
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="run only this case; repeatable")
    parser.add_argument("--json", action="store_true", help="for machines, with all names")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
