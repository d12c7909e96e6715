"""What a training costs beside what plain scikit-learn would, on all flights out of New York in 2013.

Each task runs in turns with the others, in this one process, so other load of the machine affects all alike. A time
counts only if scores and models agree. Writes `benchmarks/training/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import RandomizedSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from athanor.contract.columns import Columns
from athanor.contract.inputs import GraphInputs
from athanor.data.building.snapshot_build import build_snapshot
from athanor.data.snapshots.snapshot import read_snapshot
from athanor.home import Home
from athanor.release.graph import Graph
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows
from athanor.training.gates.gate import run_gates
from athanor.training.search.search import SearchResult, fit, search
from projects.flight_delay.recipe import RECIPE
from suite.console import make_console
from suite.goals import GOAL_COLUMNS, Comparison, Goal, goal_row, write_goals
from suite.machine import describe_machine
from suite.results import markdown, rewrite

_RESULTS: Final = Path("benchmarks/training/RESULTS.md")
_SEARCH_GOAL: Final = 1.10
_GATES_GOAL: Final = 0.20
# A quick run trains on every eighth flight; then the start of the processes, which the first turn pays, weighs more.
_QUICK_STEP: Final = 8
_QUICK_ROUNDS: Final = 2


@dataclass(frozen=True)
class Data:
    """Rows to train on, and later ones."""

    past: Rows
    later: Rows


@dataclass(frozen=True)
class Round:
    """Seconds of one turn of every task.

    Attributes:
        ours, plain: search and fit of the best, on all cores.
        one_core: our search and fit on one.
        fit: of the best alone.
        gate: compiling, parity and all other gates.
    """

    ours: float
    plain: float
    one_core: float
    fit: float
    gate: float


def read(home: Home, step: int = 1) -> Data:
    """The flights, of those to train on every `step`-th."""
    snapshot = build_snapshot(RECIPE.model.contract, RECIPE.dataset, home).snapshot
    columns = read_snapshot(RECIPE.model.contract, home.datasets, snapshot)
    rows, is_test = Rows.make(RECIPE.task, RECIPE.model, columns), RECIPE.is_test(columns)
    past = np.flatnonzero(~is_test)[::step]
    return Data(rows.take(past), rows.take(is_test))


def search_and_fit(data: Data, jobs: int) -> tuple[SearchResult, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = search(RECIPE, data.past, Path(folder), jobs=jobs)
    return found, fit(found.candidate.name, found.candidate.pipeline, found.parameters, data.past)


def search_and_fit_plainly(data: Data, jobs: int) -> RandomizedSearchCV:
    """The same candidates, folds, seed and number of trials, as a typical script has them."""
    spaces = [
        {"model": [candidate.pipeline], **{f"model__{name}": values for name, values in candidate.space.items()}}
        for candidate in RECIPE.candidates
    ]
    searching = RandomizedSearchCV(
        Pipeline([("model", RECIPE.candidates[0].pipeline)]),
        spaces,
        n_iter=RECIPE.trials,
        scoring=RECIPE.scoring,
        cv=TimeSeriesSplit(RECIPE.folds),
        n_jobs=jobs,
        random_state=RECIPE.seed,
    )
    return searching.fit(data.past.frame, data.past.labels)


def gate(data: Data, pipeline: Any) -> None:
    """Compiling and all gates; a gate that says no is an error here."""
    graph = compile_model(RECIPE.model, pipeline)
    evidence = Evidence(
        model=RECIPE.model,
        task=RECIPE.task,
        rows=data.later,
        fitted=Fitted(pipeline, RECIPE.task),
        graph=graph,
        answers=Graph(graph, GraphInputs.of(RECIPE.model.contract.columns)).answer(data.later.columns),
        baseline=fit_baseline(data),
        seed=RECIPE.seed,
    )
    if failed := [result for result in run_gates(RECIPE.gates, evidence) if not result.passed]:
        raise RuntimeError(f"gates failed: {failed}")


_BASELINE: dict[str, Columns] = {}


def fit_baseline(data: Data) -> Columns:
    """Fitted once and left out of all times: every release needs it."""
    if not _BASELINE:
        fitted = Fitted(fit("baseline", RECIPE.baseline, {}, data.past), RECIPE.task)
        _BASELINE["answers"] = fitted.answer(data.later.frame)
    return _BASELINE["answers"]


def run_round(data: Data, cores: int) -> Round:
    ours_s, (found, pipeline) = clock(lambda: search_and_fit(data, cores))
    plain_s, plain = clock(lambda: search_and_fit_plainly(data, cores))
    demand_agreement(found, plain)
    one_core_s, (alone, _) = clock(lambda: search_and_fit(data, 1))
    if [trial.scores for trial in alone.trials] != [trial.scores for trial in found.trials]:
        raise RuntimeError("the search gives other scores on one core")
    fit_s, _ = clock(lambda: fit(found.candidate.name, found.candidate.pipeline, found.parameters, data.past))
    gate_s, _ = clock(lambda: gate(data, pipeline))
    return Round(ours_s, plain_s, one_core_s, fit_s, gate_s)


def demand_agreement(found: SearchResult, plain: RandomizedSearchCV) -> None:
    """Times of different work are not compared."""
    ours = sorted(float(np.mean([score or np.nan for score in trial.scores])) for trial in found.trials)
    theirs = sorted(plain.cv_results_["mean_test_score"].tolist())
    if not np.allclose(ours, theirs, rtol=0, atol=1e-9):
        raise RuntimeError(f"the searches found different scores: {ours} and {theirs}")


def clock(task: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = task()
    return time.perf_counter() - began, result


def evaluate(rounds: Sequence[Round]) -> Iterator[Goal]:
    """Ratios, as medians over the rounds."""
    search = median(r.ours / r.plain for r in rounds)
    yield Goal("time of search and fit, against plain RandomizedSearchCV", search, _SEARCH_GOAL, Comparison.AT_MOST)
    gates = median(r.gate / r.ours for r in rounds)
    yield Goal("time of compiling, parity and gates, against search and fit", gates, _GATES_GOAL, Comparison.AT_MOST)


def tasks(rounds: Sequence[Round], cores: int) -> Iterator[tuple[str, str]]:
    """Each task with its seconds, as medians over the rounds."""
    for words, name in (
        (f"search and fit, {cores} cores", "ours"),
        (f"plain RandomizedSearchCV with its refit, {cores} cores", "plain"),
        ("search and fit, 1 core", "one_core"),
        ("the last fit alone", "fit"),
        ("compiling, parity and gates", "gate"),
    ):
        yield words, f"{median(getattr(r, name) for r in rounds):.1f}"


def write(rounds: Sequence[Round], data: Data, cores: int) -> None:
    """Replaces the measured part of the results, and keeps the part that people write."""
    names = ("scikit-learn", "skl2onnx", "onnxruntime", "joblib", "numpy")
    lines = [
        "# Training beside plain scikit-learn",
        "",
        "Made by `./pants run benchmarks/training/main.py`; only what stands below *What limits us* is written by",
        "hand.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {describe_machine()}.",
        f"Versions: {', '.join(f'{name} {metadata.version(name)}' for name in names)}.",
        "",
        f"All tasks in turns, {len(rounds)} times; ratios are medians over the turns, seconds too. Both searches try",
        f"the same {RECIPE.trials} trials of {len(RECIPE.candidates)} algorithms on the same {RECIPE.folds} folds of "
        f"{len(data.past):,} flights with the same seed, and",
        "find the same scores; ours on one core as well. Each fits the best on all rows afterwards.",
        "",
        *markdown(GOAL_COLUMNS, map(goal_row, evaluate(rounds))),
        "",
        *markdown(("task", "seconds"), tasks(rounds, cores)),
        "",
    ]
    rewrite(_RESULTS, lines)


def show(rounds: Sequence[Round], cores: int, console: Console) -> None:
    for header, rows in ((GOAL_COLUMNS, map(goal_row, evaluate(rounds))), (("task", "seconds"), tasks(rounds, cores))):
        table = Table(*header)
        for row in rows:
            table.add_row(*(cell.strip("*") for cell in row))
        console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./pants run benchmarks/training/main.py --", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each task, 3 if not given")
    parser.add_argument("--quick", action="store_true", help="two turns on fewer rows; RESULTS.md stays as it is")
    parser.add_argument("--json", type=Path, help="file for the goals")
    options = parser.parse_args()
    console, cores = make_console(), os.cpu_count() or 1
    rounds = []
    with tempfile.TemporaryDirectory(prefix="athanor-benchmark-") as folder:
        data = read(Home(Path(folder, "home")), _QUICK_STEP if options.quick else 1)
        fit_baseline(data)
        for turn in range(_QUICK_ROUNDS if options.quick else options.rounds):
            rounds.append(run_round(data, cores))
            console.print(f"turn {turn + 1}: {rounds[-1]}")
    show(rounds, cores, console)
    if options.json:
        write_goals(options.json, evaluate(rounds))
    if not options.quick:
        write(rounds, data, cores)
        console.print(f"written: {_RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
