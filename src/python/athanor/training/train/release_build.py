"""Builds everything in a release's identity from a snapshot, before gates and without writing it."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from threadpoolctl import threadpool_limits

from athanor.contract.inputs import GraphInputs
from athanor.contract.messages import to_messages
from athanor.data.profiles.profile import profile
from athanor.data.snapshots.snapshot import Snapshot, read_snapshot
from athanor.home import Home
from athanor.progress import Advance, Progress
from athanor.release.files import CONTRACT, GRAPH, REFERENCE_PROFILE, REFERENCE_ROWS, digests
from athanor.release.graph import Graph
from athanor.release.manifest import Calibration, Identity
from athanor.release.record import Estimate
from athanor.release.store import ReleaseStore
from athanor.system.code.imported_code import digest_imported_code
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.bootstrap import estimate
from athanor.training.evaluation.calibration import Calibrated, find_calibration
from athanor.training.evaluation.champion import predict_with_champion
from athanor.training.evaluation.evidence import Evidence, Rows, Span, spread
from athanor.training.recipe import Recipe
from athanor.training.search.failures import naming
from athanor.training.search.folds import require_both_labels
from athanor.training.search.parallel import Engine, on_engine
from athanor.training.search.preflight import BASELINE, CONVERTIBLE, require_workable
from athanor.training.search.search import SearchResult, fit, search
from athanor.training.search.trial import name_trial

_REFERENCE_ROWS: Final = 100
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
class UngatedRelease:
    """A release before its gates.

    Attributes:
        files: the files listed in the identity, by name.
        rows_trained: number of training rows.
        metrics, baseline: metrics of model and baseline on the held-out rows, by name.
    """

    identity: Identity
    files: Mapping[str, bytes]
    found: SearchResult
    evidence: Evidence
    rows_trained: int
    metrics: Mapping[str, Estimate]
    baseline: Mapping[str, Estimate]


@dataclass(frozen=True)
class _Fitted:
    """The best candidate and the baseline, fitted on all training rows.

    Attributes:
        calibration: of the best candidate; None if it does not help.
        trained: of the training rows.
    """

    candidate: str
    pipeline: Any
    calibration: Calibration | None
    baseline: Any
    trained: Span


def build_release(
    recipe: Recipe, snapshot: Snapshot, home: Home, steps: Steps, options: TrainingOptions
) -> UngatedRelease:
    """Searches, fits, compiles and evaluates.

    The same recipe, features and snapshot give the same identity, whatever the engine and the number of cores.

    Raises:
        DataError: the snapshot was made under a different contract, or the labels before or from `test_from`, or in a
            fold, are all equal.
        ContractError: the features, a candidate or the baseline cannot be computed, fitted or compiled.
        ReleaseError: the champion is corrupted.
    """
    past, later = _read(recipe, snapshot, home, steps)
    folder = _search_folder(recipe, snapshot, home, options)
    _check(recipe, past, later, steps, options)
    found = _search(recipe, past, folder, steps, options)
    fitted = _fit(recipe, found, past, steps)
    who = name_trial(found.candidate.name, found.parameters)
    with (
        steps.step("compile", "Compile to ONNX") as advance,
        naming(who, "be compiled to ONNX", past.frame, remedy=CONVERTIBLE),
    ):
        graph = compile_model(recipe.model, fitted.pipeline, fitted.calibration)
        advance(f"{len(graph) / 1024:.0f} KiB")
    with steps.step("evaluate", "Evaluate on the held-out rows") as advance:
        evidence = _make_evidence(recipe, home, fitted, graph, later)
        metrics = estimate(later.labels, evidence.probabilities, recipe.seed)
        baseline = estimate(later.labels, evidence.baseline, recipe.seed)
        advance(f"ROC AUC {metrics['roc_auc'].value:.4f}, baseline {baseline['roc_auc'].value:.4f}")
    files = _files(recipe, graph, past)
    identity = Identity(
        model=recipe.model.name,
        contract=recipe.model.contract.fingerprint,
        snapshot=snapshot.digest,
        features=recipe.model.features_digest,
        recipe=recipe.digest,
        algorithm=found.candidate.name,
        parameters=dict(found.parameters),
        calibration=fitted.calibration,
        seed=recipe.seed,
        metrics={name: of.value for name, of in metrics.items()},
        baseline={name: of.value for name, of in baseline.items()},
        files=digests(files),
    )
    _remove_abandoned(home.searches / recipe.model.name, folder)
    return UngatedRelease(identity, files, found, evidence, len(past), metrics, baseline)


def search_alone(
    recipe: Recipe, snapshot: Snapshot, home: Home, steps: Steps, options: TrainingOptions
) -> tuple[SearchResult, int]:
    """The search result and the number of rows it used; no release is fitted. Raises as `build_release`."""
    past, later = _read(recipe, snapshot, home, steps)
    _check(recipe, past, later, steps, options)
    return _search(recipe, past, _search_folder(recipe, snapshot, home, options), steps, options), len(past)


def _read(recipe: Recipe, snapshot: Snapshot, home: Home, steps: Steps) -> tuple[Rows, Rows]:
    """The training rows and the later, held-out rows."""
    with steps.step("read", "Read the snapshot, compute features") as advance:
        columns = read_snapshot(recipe.model.contract, home.datasets, snapshot)
        is_test = recipe.is_test(columns)
        require_both_labels(recipe, columns, {"before": ~is_test, "from": is_test})
        rows = Rows.make(recipe.model, columns)
        past, later = rows.take(~is_test), rows.take(is_test)
        advance(f"{len(past):,} rows to train, {len(later):,} to evaluate")
    return past, later


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
        return search(recipe, past.frame, past.labels, folder, steps.progress, options.trials, options.jobs)


def _fit(recipe: Recipe, found: SearchResult, past: Rows, steps: Steps) -> _Fitted:
    with steps.step("fit", "Fit the best candidate, and the baseline", 2) as advance:
        description = f"{found.candidate.name} {dict(found.parameters)}"
        who = name_trial(found.candidate.name, found.parameters)
        pipeline = fit(who, found.candidate.pipeline, found.parameters, past.frame, past.labels)
        calibration = find_calibration(found.folds) if recipe.calibrate else None
        advance(description)
        baseline = fit(BASELINE, recipe.baseline, {}, past.frame, past.labels)
        advance(description)
    return _Fitted(found.candidate.name, pipeline, calibration, baseline, past.span(recipe.model))


def _make_evidence(recipe: Recipe, home: Home, fitted: _Fitted, graph: bytes, later: Rows) -> Evidence:
    with threadpool_limits(1), naming(BASELINE, _LATER, later.frame):
        baseline = fitted.baseline.predict_proba(later.frame)[:, 1]
    with naming(f"candidate {fitted.candidate!r}", f"{_LATER} once compiled to ONNX", later.frame):
        probabilities = Graph(graph, GraphInputs.of(recipe.model.contract.columns)).predict_probability(later.columns)
    return Evidence(
        model=recipe.model,
        rows=later,
        pipeline=Calibrated(fitted.pipeline, fitted.calibration) if fitted.calibration else fitted.pipeline,
        graph=graph,
        probabilities=probabilities,
        baseline=baseline,
        champion=predict_with_champion(ReleaseStore(home.store_url), recipe.model.contract, later),
        seed=recipe.seed,
        candidate=fitted.candidate,
        trained=fitted.trained,
    )


def _files(recipe: Recipe, graph: bytes, past: Rows) -> Mapping[str, bytes]:
    contract = recipe.model.contract
    reference = past.take(spread(len(past), _REFERENCE_ROWS))
    rows = to_messages(contract.columns, reference.columns, GetMessageClass(contract.row))
    reference_rows = {
        "rows": [json_format.MessageToDict(row, preserving_proto_field_name=True) for row in rows],
        "predictions": Graph(graph, GraphInputs.of(contract.columns)).predict_probability(reference.columns).tolist(),
    }
    return {
        CONTRACT: json.dumps(contract.wire, sort_keys=True).encode(),
        GRAPH: graph,
        REFERENCE_PROFILE: profile(contract.dataset_columns, past.columns).to_json().encode(),
        REFERENCE_ROWS: json.dumps(reference_rows).encode(),
    }
