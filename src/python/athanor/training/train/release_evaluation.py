"""Evaluates a release on a snapshot, which need not be the one it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.data.snapshots.snapshot import Snapshot, read_snapshot
from athanor.errors import DataError, ReleaseError
from athanor.home import Home
from athanor.progress import Progress, Unwatched
from athanor.release.files import Release
from athanor.release.manifest import Identity, SplitResult
from athanor.release.predictor import Predictor
from athanor.release.record import Estimate, SliceResult
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.bootstrap import estimate
from athanor.training.evaluation.evidence import Rows
from athanor.training.evaluation.metrics import evaluate_slices
from athanor.training.recipe import Recipe
from athanor.training.train.release_build import require_labels


@dataclass(frozen=True)
class ReleaseEvaluation:
    """Metrics of a release.

    Attributes:
        snapshot: its content digest.
        rows: number of rows that the recipe's split holds out, and that the release has not seen.
        label: figures of their labels, by what they are.
    """

    digest: str
    snapshot: str
    rows: int
    label: Mapping[str, float]
    metrics: Mapping[str, Estimate]
    slices: tuple[SliceResult, ...]


def evaluate_release(
    recipe: Recipe, release: Release, snapshot: Snapshot, home: Home, progress: Progress | None = None
) -> ReleaseEvaluation:
    """Evaluates a release on the rows of a snapshot that the recipe's split holds out, and that it has not seen.

    Raises:
        ReleaseError: the release needs a column that the contract does not have any more, or cannot be run.
        DataError: the snapshot was made under a different contract; which of its rows the release has seen is unknown,
            or it has seen all of them; or the labels of the others are all equal.
    """
    with (progress or Unwatched()).step("Evaluate the release") as advance:
        predictor = Predictor(release)
        columns = read_snapshot(recipe.model.contract, home.datasets, snapshot)
        needed = (*predictor.contract.columns, predictor.contract.label)
        if lost := [column.name for column in needed if column.name not in columns]:
            raise ReleaseError(
                f"release {release.digest} needs columns that the contract does not have any more: {', '.join(lost)}; "
                "evaluate it at its own commit"
            )
        division = recipe.divide(columns)
        unseen = division.evaluated & _find_unseen(recipe, release.identity, snapshot, columns, division.result)
        doubt = release.identity.doubt
        task = task_of(predictor.contract, doubt.coverage if doubt else None)
        rows = Rows.make_without_features(task, {name: values[unseen] for name, values in columns.items()})
        require_labels(recipe, division.result, {"to evaluate": rows})
        answers = predictor.predict(rows.columns)
        advance(f"{len(rows):,} rows")
        return ReleaseEvaluation(
            digest=release.digest,
            snapshot=snapshot.digest,
            rows=len(rows),
            label=task.describe_labels(rows.labels),
            metrics=estimate(task, rows, answers, recipe.seed),
            slices=evaluate_slices(task, recipe.slices, rows, answers),
        )


def _find_unseen(
    recipe: Recipe, identity: Identity, snapshot: Snapshot, columns: Columns, split: SplitResult
) -> NDArray[np.bool_]:
    """Mask of the rows that a release was not fitted on. Raises DataError if that is unknown, or there are none.

    Args:
        split: what the recipe's split comes to now. After a random one only the same one holds out the same rows.
    """
    event_time, refit, boundary = recipe.model.contract.event_time, identity.refit, identity.split.boundary
    if event_time is None or not boundary:
        if refit is None and snapshot.digest == identity.snapshot and split == identity.split:
            return np.ones(len(next(iter(columns.values()))), np.bool_)
        raise DataError(
            f"the release was fitted on random rows of snapshot {identity.snapshot[:12]}, so that it is unknown which "
            f"rows of {snapshot.digest[:12]} it has seen by the split {recipe.split}; its own evaluation is in its "
            "manifest"
        )
    times = columns[event_time.name]
    if refit is None:
        return np.asarray(times >= _read_instant(boundary))
    unseen = np.asarray(times > _read_instant(refit.last_event))
    if not unseen.any():
        raise DataError(
            f"the release was fitted again on all rows until {refit.last_event}, and this snapshot has no later ones; "
            "use a newer snapshot; its own evaluation is in its manifest"
        )
    return unseen


def _read_instant(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "us")
