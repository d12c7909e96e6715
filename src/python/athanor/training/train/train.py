"""Trains a release: build, gates, refit, documents, write."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from joblib import cpu_count

from athanor.contract.evolution.compatibility import require_compatible
from athanor.data.snapshots.snapshot import Snapshot
from athanor.home import Home
from athanor.progress import Progress, Unwatched
from athanor.release.files import CONTRACT, MODEL_CARD, Release, read_release, write_release
from athanor.release.manifest import Identity, Provenance
from athanor.release.record import GateResult, TrainingRecord
from athanor.release.store import ReleaseStore
from athanor.training.evaluation.metrics import evaluate_slices
from athanor.training.gates.defaults import add_always, list_after_refit
from athanor.training.gates.gate import run_gates
from athanor.training.recipe import Recipe
from athanor.training.train.documents import make_documents, raise_if_refused
from athanor.training.train.provenance import describe_provenance, list_uncommitted
from athanor.training.train.release_build import (
    Steps,
    TrainingOptions,
    UngatedRelease,
    build_release,
    refit_release,
    search_alone,
)


class Recorder(Protocol):
    """Records trainings, passed or refused; `Registry.record` does."""

    def __call__(
        self,
        record: TrainingRecord,
        identity: Identity | None = None,
        provenance: Provenance | None = None,
        card: bytes | None = None,
    ) -> object: ...


@dataclass(frozen=True)
class Training:
    """A release and the record of its training."""

    release: Release
    record: TrainingRecord


def train(
    recipe: Recipe,
    snapshot: Snapshot,
    home: Home,
    progress: Progress | None = None,
    options: TrainingOptions | None = None,
    recorder: Recorder | None = None,
) -> Training:
    """Builds a release, runs its gates and writes it below `home.candidates`.

    Raises:
        GateError: the contract breaks callers or stored rows of the newest registered release: nothing was trained. Or
            a gate failed: no release was written; the record and the model card are below `home.reports`.
        DataError, ReleaseError: as `build_release` does.
    """
    options, steps = options or TrainingOptions(), Steps(progress or Unwatched())
    _require_registrable(recipe, ReleaseStore(home.store_url))
    evaluated = build_release(recipe, snapshot, home, steps, options)
    built, results = _pass_gates(recipe, evaluated, steps)
    record = _record(recipe, evaluated, results, steps)
    with steps.step("write", "Write the release") as advance:
        trials, threads = options.trials or recipe.trials, options.jobs or cpu_count()
        provenance = describe_provenance(snapshot.version, trials, options.engine, threads)
        documents = make_documents(recipe, snapshot, built.identity, provenance, record, evaluated.evidence)
        if recorder is not None:
            recorder(record, built.identity, provenance, documents[MODEL_CARD])
        raise_if_refused(record, documents, home.reports / recipe.model.name, built.identity.digest)
        folder = home.candidates / recipe.model.name
        _replace_dirty_candidate(folder / built.identity.digest, provenance)
        release = write_release(folder, built.identity, provenance, built.files, documents)
        advance(f"digest {release.digest[:12]}")
    return Training(release, record)


def tune(
    recipe: Recipe,
    snapshot: Snapshot,
    home: Home,
    progress: Progress | None = None,
    options: TrainingOptions | None = None,
    recorder: Recorder | None = None,
) -> TrainingRecord:
    """Searches and makes no release; a later `train` reuses the fits kept here. Raises as `build_release`."""
    steps = Steps(progress or Unwatched())
    found, rows_trained = search_alone(recipe, snapshot, home, steps, options or TrainingOptions())
    record = TrainingRecord(
        model=recipe.model.name,
        status="tuned",
        scoring=recipe.scoring,
        trials=found.trials,
        rows_trained=rows_trained,
        seconds=steps.seconds,
        uncommitted=list_uncommitted() or (),
    )
    if recorder is not None:
        recorder(record)
    return record


def _require_registrable(recipe: Recipe, store: ReleaseStore) -> None:
    """Raises GateError if no release of the recipe's contract could be registered: better now than after the search."""
    contract = recipe.model.contract
    if newest := store.find_newest(contract.name):
        version, before = newest
        require_compatible(before.json(CONTRACT), contract.wire, f"{contract.name} {version}", "the contract")


def _replace_dirty_candidate(candidate: Path, provenance: Provenance) -> None:
    """Deletes a candidate built from uncommitted changes, once a clean tree has built the same release."""
    if provenance.is_clean and candidate.is_dir() and not read_release(candidate).manifest.provenance.is_clean:
        shutil.rmtree(candidate)


def _pass_gates(
    recipe: Recipe, evaluated: UngatedRelease, steps: Steps
) -> tuple[UngatedRelease, tuple[GateResult, ...]]:
    """Runs the gates, then fits again where the recipe says so, and runs the gates on that."""
    gates = add_always(recipe.gates)
    with steps.step("gates", "Gates", len(gates)) as advance:
        results = run_gates(gates, evaluated.evidence, advance)
    if not recipe.refit or not all(result.passed for result in results):
        return evaluated, results
    refitted = refit_release(recipe, evaluated, steps)
    gates = list_after_refit(recipe.gates)
    with steps.step("refit gates", "Gates after the refit", len(gates)) as advance:
        after = run_gates(gates, refitted.evidence, advance)
    renamed = (result.model_copy(update={"gate": f"{result.gate}, after the refit"}) for result in after)
    return refitted, (*results, *renamed)


def _record(recipe: Recipe, built: UngatedRelease, results: tuple[GateResult, ...], steps: Steps) -> TrainingRecord:
    rows = built.evidence.rows
    return TrainingRecord(
        model=recipe.model.name,
        status="passed" if all(result.passed for result in results) else "refused",
        scoring=recipe.scoring,
        trials=built.found.trials,
        rows_trained=len(built.parts.past),
        rows_evaluated=len(rows),
        label=recipe.task.describe_labels(rows.labels),
        metrics=built.metrics,
        baseline=built.baseline,
        slices=evaluate_slices(recipe.task, recipe.slices, rows, built.evidence.answers),
        gates=results,
        seconds=steps.seconds,
        uncommitted=list_uncommitted() or (),
    )
