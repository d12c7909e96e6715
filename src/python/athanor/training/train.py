"""From a snapshot to a release."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Role
from athanor.contract.messages import to_messages
from athanor.data.profile import profile
from athanor.data.snapshot import Snapshot, read_snapshot
from athanor.data.tables import join_blocks
from athanor.errors import DataError
from athanor.features.features import FeatureArrays
from athanor.home import Home
from athanor.progress import Progress, Unwatched
from athanor.release.files import (
    CONTRACT,
    GRAPH,
    MODEL_CARD,
    REFERENCE_PROFILE,
    REFERENCE_ROWS,
    Release,
    digests,
    write_release,
)
from athanor.release.manifest import Identity
from athanor.release.predictor import Graph
from athanor.training.compilation import compile_pipeline, demand_parity
from athanor.training.evaluation import Evaluation, evaluate, evaluate_slices
from athanor.training.gates import GateResult, demand, run_gates
from athanor.training.model_card import write_model_card
from athanor.training.provenance import describe_provenance
from athanor.training.recipe import Recipe
from athanor.training.search import Trial, fit, search

_PARITY_ROWS: Final = 10_000
_REFERENCE_ROWS: Final = 100


@dataclass(frozen=True)
class Training:
    """What a training made and saw.

    Attributes:
        trials: best first; the first made the release.
        parity: largest difference of probability between graph and pipeline.
    """

    release: Release
    trials: tuple[Trial, ...]
    evaluation: Evaluation
    gates: tuple[GateResult, ...]
    parity: float


@dataclass(frozen=True)
class _Rows:
    """Some rows of a snapshot in all their forms."""

    columns: Columns
    features: FeatureArrays
    frame: Any
    labels: NDArray[np.int64]

    @classmethod
    def take(cls, recipe: Recipe, columns: Columns, chosen: NDArray[Any]) -> "_Rows":
        taken = {name: values[chosen] for name, values in columns.items()}
        contract = recipe.model.contract
        # What serving will not have, or what is no feature, is not there to be looked at.
        visible = {column.name: taken[column.name] for column in contract.columns if Role.FEATURE in column.roles}
        features = recipe.model.features(visible)
        labels = taken[contract.label.name].astype(np.int64)
        names = recipe.model.features
        frame = join_blocks((names.numeric, features.numeric), (names.categorical, features.categorical))
        return cls(taken, features, frame, labels)


def train(recipe: Recipe, snapshot: Snapshot, home: Home, progress: Progress | None = None) -> Training:
    """Searches, fits, evaluates, gates, compiles and writes a release below `home.candidates`.

    The same recipe, features and snapshot give the same release digest.

    Raises:
        GateError: a gate or the parity of graph and pipeline said no; nothing was written.
        DataError: the snapshot was made under another contract, or has only one label before or after `test_from`.
    """
    progress = progress or Unwatched()
    with progress.step("Read the snapshot, make features") as advance:
        columns = read_snapshot(recipe.model.contract, home.datasets, snapshot)
        is_test = recipe.is_test(columns)
        _demand_both_labels(recipe, columns, ~is_test, "before")
        _demand_both_labels(recipe, columns, is_test, "from")
        past, later = _Rows.take(recipe, columns, ~is_test), _Rows.take(recipe, columns, is_test)
        advance(f"{len(past.labels):,} rows to train, {len(later.labels):,} later ones to evaluate")
    trials = search(recipe, past.frame, past.labels, progress)
    best = trials[0]
    with progress.step("Fit the best candidate") as advance:
        pipeline = fit(best.candidate.pipeline, best.parameters, past.frame, past.labels)
        baseline = fit(recipe.baseline, {}, past.frame, past.labels)
        advance(f"{best.candidate.name} {dict(best.parameters)}")
    with progress.step("Evaluate on the later time slice") as advance:
        evaluation = _evaluate(recipe, pipeline, baseline, later)
        advance(f"ROC AUC {evaluation.metrics['roc_auc']:.4f}, baseline {evaluation.baseline['roc_auc']:.4f}")
    with progress.step("Gates") as advance:
        gates = run_gates(recipe.gates, evaluation.metrics, evaluation.baseline)
        demand(gates)
        advance(f"{len(gates)} passed")
    with progress.step("Compile to ONNX, check parity") as advance:
        graph = compile_pipeline(pipeline, later.features)
        rows = _spread(len(later.labels), _PARITY_ROWS)
        sample = _Rows.take(recipe, later.columns, rows)
        parity = demand_parity(graph, pipeline, sample.frame, sample.features)
        advance(f"{len(graph) / 1024:.0f} KiB, largest difference {parity:.1e}")
    with progress.step("Write the release") as advance:
        card = write_model_card(recipe.model, best.candidate.name, evaluation, gates)
        files = _files(recipe, graph, past, card)
        identity = _identify(recipe, snapshot, best, evaluation, files)
        release = write_release(
            home.candidates / recipe.model.name, identity, describe_provenance(snapshot.version), files
        )
        advance(f"digest {release.digest[:12]}")
    return Training(release, trials, evaluation, gates, parity)


def _demand_both_labels(recipe: Recipe, columns: Columns, rows: NDArray[np.bool_], part: str) -> None:
    found = np.unique(columns[recipe.model.contract.label.name][rows])
    if len(found) < 2:
        raise DataError(
            f"{rows.sum()} rows {part} {recipe.test_from.isoformat()} have {len(found)} different labels, "
            "needed are 2; choose another test_from, or take more data"
        )


def _evaluate(recipe: Recipe, pipeline: Any, baseline: Any, later: _Rows) -> Evaluation:
    probabilities = pipeline.predict_proba(later.frame)[:, 1]
    return Evaluation(
        rows=len(later.labels),
        label_rate=float(later.labels.mean()),
        metrics=evaluate(later.labels, probabilities),
        baseline=evaluate(later.labels, baseline.predict_proba(later.frame)[:, 1]),
        slices={name: evaluate_slices(later.labels, probabilities, later.columns[name]) for name in recipe.slices},
    )


def _spread(length: int, count: int) -> NDArray[np.int64]:
    """Up to `count` positions, evenly over all rows."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


def _files(recipe: Recipe, graph: bytes, past: _Rows, card: str) -> Mapping[str, bytes]:
    contract = recipe.model.contract
    reference = _Rows.take(recipe, past.columns, _spread(len(past.labels), _REFERENCE_ROWS))
    rows = to_messages(contract.columns, reference.columns, GetMessageClass(contract.row))
    reference_rows = {
        "rows": [json_format.MessageToDict(row, preserving_proto_field_name=True) for row in rows],
        "predictions": Graph(graph).predict_probability(reference.features).tolist(),
    }
    return {
        CONTRACT: json.dumps(contract.promises, sort_keys=True).encode(),
        GRAPH: graph,
        REFERENCE_PROFILE: profile(contract.dataset_columns, past.columns).to_json().encode(),
        REFERENCE_ROWS: json.dumps(reference_rows).encode(),
        MODEL_CARD: card.encode(),
    }


def _identify(
    recipe: Recipe,
    snapshot: Snapshot,
    best: Trial,
    evaluation: Evaluation,
    files: Mapping[str, bytes],
) -> Identity:
    return Identity(
        model=recipe.model.name,
        contract=recipe.model.contract.fingerprint,
        snapshot=snapshot.digest,
        features=recipe.model.features.digest,
        recipe=recipe.digest,
        algorithm=best.candidate.name,
        parameters=dict(best.parameters),
        seed=recipe.seed,
        metrics=dict(evaluation.metrics),
        baseline=dict(evaluation.baseline),
        files=digests(files),
    )
