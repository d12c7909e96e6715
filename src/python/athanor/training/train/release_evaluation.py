"""Evaluates a release on a snapshot, which need not be the one it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from athanor.data.snapshots.snapshot import Snapshot, read_snapshot
from athanor.errors import ReleaseError
from athanor.home import Home
from athanor.progress import Progress, Unwatched
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.record import Estimate, SliceResult
from athanor.training.evaluation.bootstrap import estimate
from athanor.training.evaluation.metrics import evaluate_slices
from athanor.training.recipe import Recipe
from athanor.training.search.folds import require_both_labels


@dataclass(frozen=True)
class ReleaseEvaluation:
    """Metrics of a release.

    Attributes:
        snapshot: its content digest.
        rows: number of rows from the recipe's `test_from` on.
    """

    digest: str
    snapshot: str
    rows: int
    label_rate: float
    metrics: Mapping[str, Estimate]
    slices: tuple[SliceResult, ...]


def evaluate_release(
    recipe: Recipe, release: Release, snapshot: Snapshot, home: Home, progress: Progress | None = None
) -> ReleaseEvaluation:
    """Evaluates a release on the rows of a snapshot from the recipe's `test_from` on.

    Raises:
        ReleaseError: the release needs a column that the contract does not have any more, or cannot be run.
        DataError: the snapshot was made under a different contract, or all labels from `test_from` on are equal.
    """
    with (progress or Unwatched()).step("Evaluate the release") as advance:
        predictor = Predictor(release)
        columns = read_snapshot(recipe.model.contract, home.datasets, snapshot)
        if lost := [column.name for column in predictor.contract.columns if column.name not in columns]:
            raise ReleaseError(
                f"release {release.digest} needs columns that the contract does not have any more: {', '.join(lost)}; "
                "evaluate it at its own commit"
            )
        is_test = recipe.is_test(columns)
        require_both_labels(recipe, columns, {"from": is_test})
        later = {name: values[is_test] for name, values in columns.items()}
        labels = later[recipe.model.contract.label.name].astype(np.int64)
        probabilities = predictor.predict(later)
        advance(f"{len(labels):,} rows")
        return ReleaseEvaluation(
            digest=release.digest,
            snapshot=snapshot.digest,
            rows=len(labels),
            label_rate=float(labels.mean()),
            metrics=estimate(labels, probabilities, recipe.seed),
            slices=evaluate_slices(recipe.slices, later, labels, probabilities),
        )
