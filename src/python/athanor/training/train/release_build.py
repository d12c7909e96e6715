"""Builds everything in a release's identity from a snapshot, before gates and without writing it."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from threadpoolctl import threadpool_limits

from athanor.contract.inputs import GraphInputs
from athanor.data.snapshots.snapshot import Snapshot, read_snapshot
from athanor.errors import DataError
from athanor.home import Home
from athanor.progress import Advance, Progress
from athanor.release.files import EVALUATED_GRAPH, GRAPH, digests
from athanor.release.graph import Graph
from athanor.release.manifest import Identity, Refit, SplitResult
from athanor.release.record import Estimate
from athanor.release.store import ReleaseStore
from athanor.system.code.imported_code import digest_imported_code
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.bootstrap import estimate
from athanor.training.evaluation.champion import predict_with_champion
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows
from athanor.training.recipe import Recipe
from athanor.training.search.failures import naming
from athanor.training.search.parallel import Engine, on_engine
from athanor.training.search.preflight import BASELINE, CONVERTIBLE, require_workable
from athanor.training.search.search import SearchResult, fit, search
from athanor.training.search.trial import name_trial
from athanor.training.train.release_files import make_files

_LATER: Final = "predict the rows held out for evaluation"

# A search adds a file to its folder whenever a fit ends.
_ABANDONED_S: Final = 24 * 3600.0


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. Only `trials` can change the result.

    Attributes:
        trials: number of trials of the search; the recipe's if not given.
        engine: what runs the search. For `ray`, Ray must be running.
        jobs: number of processes of the search; one per core if not given.
        search_folder: where the search caches its fits; in the home if not given.
    """

    trials: int | None = None
    engine: Engine = "local"
    jobs: int | None = None
    search_folder: Path | None = None


@dataclass(frozen=True)
class Steps:
    """Shows the steps of a training, and records their durations in seconds by name."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, description: str, total: int = 1) -> Iterator[Advance]:
        with self.timed(name), self.progress.step(description, total) as advance:
            yield advance

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 3)


@dataclass(frozen=True)
class Parts:
    """The rows of a snapshot.

    Attributes:
        past: the training rows.
        later: the rows held out for evaluation.
        whole: all rows.
    """

    past: Rows
    later: Rows
    whole: Rows
    split: SplitResult


@dataclass(frozen=True)
class UngatedRelease:
    """A release before its gates.

    Attributes:
        files: the files listed in the identity, by name.
        evidence: of the model in the files.
        metrics, baseline: metrics of the evaluated model and the baseline on the held-out rows, by name.
    """

    identity: Identity
    files: Mapping[str, bytes]
    found: SearchResult
    evidence: Evidence
    parts: Parts
    metrics: Mapping[str, Estimate]
    baseline: Mapping[str, Estimate]


def build_release(
    recipe: Recipe, snapshot: Snapshot, home: Home, steps: Steps, options: TrainingOptions
) -> UngatedRelease:
    """Searches, fits, compiles and evaluates.

    The same recipe, features and snapshot give the same identity, whatever the engine and the number of cores.

    Raises:
        DataError: the snapshot was made under a different contract, or the labels on one side of the split, or in a
            fold, are all equal.
        ContractError: the features, a candidate or the baseline cannot be computed, fitted or compiled.
        ReleaseError: the champion is corrupted.
    """
    parts = _read(recipe, snapshot, home, steps)
    past, later = parts.past, parts.later
    folder = _search_folder(recipe, snapshot, home, options)
    _check(recipe, past, later, steps, options)
    found = _search(recipe, past, folder, steps, options)
    with steps.step("fit", "Fit the best candidate, and the baseline", 2) as advance:
        fitted = _fit(recipe, found, past)
        advance(f"{found.candidate.name} {dict(found.parameters)}")
        baseline = Fitted(fit(BASELINE, recipe.baseline, {}, past), recipe.task)
        advance(f"{found.candidate.name} {dict(found.parameters)}")
    graph = _compile(recipe, found, fitted, past, steps)
    with steps.step("evaluate", "Evaluate on the held-out rows") as advance:
        evidence = _make_evidence(recipe, home, found, fitted, baseline, graph, parts)
        metrics = estimate(recipe.task, later, evidence.answers, recipe.seed)
        of_baseline = estimate(recipe.task, later, evidence.baseline, recipe.seed)
        first = next(iter(metrics))
        advance(f"{first} {metrics[first].value:.4g}, baseline {of_baseline[first].value:.4g}")
    files = make_files(recipe.model, recipe.task, graph, past)
    identity = Identity(
        model=recipe.model.name,
        task=recipe.task.name,
        contract=recipe.model.contract.fingerprint,
        snapshot=snapshot.digest,
        features=recipe.model.features_digest,
        recipe=recipe.digest,
        split=parts.split,
        algorithm=found.candidate.name,
        parameters=dict(found.parameters),
        calibration=fitted.calibration,
        doubt=fitted.doubt,
        seed=recipe.seed,
        metrics={name: of.value for name, of in metrics.items()},
        baseline={name: of.value for name, of in of_baseline.items()},
        files=digests(files),
    )
    _remove_abandoned(home.searches / recipe.model.name, folder)
    return UngatedRelease(identity, files, found, evidence, parts, metrics, of_baseline)


def refit_release(recipe: Recipe, evaluated: UngatedRelease, steps: Steps) -> UngatedRelease:
    """The same release with a model fitted on all rows of the snapshot.

    Candidate, parameters, calibration and doubt stay as they were evaluated, and so do the metrics.

    Raises:
        ContractError: the winner cannot be fitted or compiled.
    """
    parts, found, before = evaluated.parts, evaluated.found, evaluated.evidence
    with steps.step("refit", "Fit the winner again on all rows") as advance:
        pipeline = fit(
            name_trial(found.candidate.name, found.parameters), found.candidate.pipeline, found.parameters, parts.whole
        )
        advance(f"{len(parts.whole):,} rows")
    fitted = replace(before.fitted, pipeline=pipeline)
    graph = _compile(recipe, found, fitted, parts.whole, steps, "recompile")
    answers = Graph(graph, GraphInputs.of(recipe.model.contract.columns)).answer(parts.later.columns)
    files = {**make_files(recipe.model, recipe.task, graph, parts.whole), EVALUATED_GRAPH: evaluated.files[GRAPH]}
    span = parts.whole.span(recipe.model)
    refit = Refit(
        rows=len(parts.whole),
        last_event=span.last if span else "",
        evaluated=evaluated.identity.files[GRAPH],
    )
    return replace(
        evaluated,
        identity=evaluated.identity.model_copy(update={"refit": refit, "files": digests(files)}),
        files=files,
        evidence=replace(before, fitted=fitted, graph=graph, answers=answers, evaluated=before.answers),
    )


def search_alone(
    recipe: Recipe, snapshot: Snapshot, home: Home, steps: Steps, options: TrainingOptions
) -> tuple[SearchResult, int]:
    """The search result and the number of rows it used; no release is fitted. Raises as `build_release`."""
    parts = _read(recipe, snapshot, home, steps)
    _check(recipe, parts.past, parts.later, steps, options)
    folder = _search_folder(recipe, snapshot, home, options)
    return _search(recipe, parts.past, folder, steps, options), len(parts.past)


def _read(recipe: Recipe, snapshot: Snapshot, home: Home, steps: Steps) -> Parts:
    with steps.step("read", "Read the snapshot, compute features") as advance:
        columns = read_snapshot(recipe.model.contract, home.datasets, snapshot)
        division = recipe.divide(columns)
        whole = Rows.make(recipe.task, recipe.model, columns)
        past, later, split = whole.take(division.trained), whole.take(division.evaluated), division.result
        require_labels(recipe, split, {"to train": past, "to evaluate": later})
        left_out = f", {split.rows_left_out:,} left out" if split.rows_left_out else ""
        advance(f"{len(past):,} rows to train, {len(later):,} to evaluate{left_out}")
    return Parts(past, later, whole, split)


def require_labels(recipe: Recipe, split: SplitResult, parts: Mapping[str, Rows]) -> None:
    """Refuses parts of the split that cannot be fitted or evaluated.

    Args:
        parts: by what they are for.

    Raises:
        DataError: naming all such parts.
    """
    problems = [
        problem
        for use, rows in parts.items()
        for problem in recipe.task.list_label_problems(rows.counted_labels, f"the rows {use}{_counted(rows)}")
    ]
    if problems:
        where = f" at {split.boundary}" if split.boundary else ""
        raise DataError(f"{'; '.join(problems)}; choose another split than {recipe.split}{where}, or use more data")


def _counted(rows: Rows) -> str:
    return "" if rows.weights is None else " with a weight above 0"


def _search_folder(recipe: Recipe, snapshot: Snapshot, home: Home, options: TrainingOptions) -> Path:
    """The cache folder, whose name depends on everything that could change a fit's predictions."""
    if options.search_folder is not None:
        return options.search_folder
    code = digest_imported_code([__name__, recipe.declared_in, recipe.model.features.compute.__module__])
    parts = (recipe.digest, recipe.model.features_digest, recipe.model.contract.fingerprint, snapshot.digest, code)
    return home.searches / recipe.model.name / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _check(recipe: Recipe, past: Rows, later: Rows, steps: Steps, options: TrainingOptions) -> None:
    with steps.step("check", "Fit and compile each candidate on few rows"):
        require_workable(recipe, past, later, options.trials)


def _remove_abandoned(searches: Path, used: Path) -> None:
    """Removes caches of a project's other searches, except those that may still be running."""
    oldest = time.time() - _ABANDONED_S
    for other in searches.glob("*"):
        with suppress(FileNotFoundError):
            if other != used and other.stat().st_mtime < oldest:
                shutil.rmtree(other, ignore_errors=True)


def _search(recipe: Recipe, past: Rows, folder: Path, steps: Steps, options: TrainingOptions) -> SearchResult:
    with steps.timed("search"), on_engine(options.engine):
        return search(recipe, past, folder, steps.progress, options.trials, options.jobs)


def _fit(recipe: Recipe, found: SearchResult, past: Rows) -> Fitted:
    """The best candidate with what its outputs in the search say of its answers."""
    task = recipe.task
    who = name_trial(found.candidate.name, found.parameters)
    pipeline = fit(who, found.candidate.pipeline, found.parameters, past)
    calibration = task.find_calibration(found.folds) if recipe.calibrate else None
    doubt = None if recipe.coverage is None else task.find_doubt(found.folds, recipe.coverage, calibration)
    return Fitted(pipeline, task, calibration, doubt)


def _compile(
    recipe: Recipe, found: SearchResult, fitted: Fitted, rows: Rows, steps: Steps, name: str = "compile"
) -> bytes:
    with (
        steps.step(name, "Compile to ONNX") as advance,
        naming(
            name_trial(found.candidate.name, found.parameters), "be compiled to ONNX", rows.frame, None, CONVERTIBLE
        ),
    ):
        graph = compile_model(recipe.model, fitted.pipeline, fitted.calibration, fitted.doubt)
        advance(f"{len(graph) / 1024:.0f} KiB")
    return graph


def _make_evidence(
    recipe: Recipe, home: Home, found: SearchResult, fitted: Fitted, baseline: Fitted, graph: bytes, parts: Parts
) -> Evidence:
    later, contract, candidate = parts.later, recipe.model.contract, found.candidate.name
    with threadpool_limits(1), naming(BASELINE, _LATER, later.frame):
        of_baseline = baseline.answer(later.frame)
    with naming(f"candidate {candidate!r}", f"{_LATER} once compiled to ONNX", later.frame):
        answers = Graph(graph, GraphInputs.of(contract.columns)).answer(later.columns)
    return Evidence(
        model=recipe.model,
        task=recipe.task,
        rows=later,
        fitted=fitted,
        graph=graph,
        answers=answers,
        baseline=of_baseline,
        champion=predict_with_champion(ReleaseStore(home.store_url), contract, later),
        seed=recipe.seed,
        candidate=candidate,
        trained=parts.past.span(recipe.model),
    )
