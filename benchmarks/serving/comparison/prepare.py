"""Input of a run: the release that all serve, its fitted scikit-learn pipeline, and rows for requests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from athanor.contract.messages import to_columns, to_messages
from athanor.data.snapshots.snapshot import list_snapshots, read_snapshot
from athanor.errors import NotFoundError
from athanor.features.features import Model
from athanor.home import Home
from athanor.release.answers import TOLERANCE
from athanor.release.files import Release
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from athanor.training.evaluation.evidence import Rows, spread
from athanor.training.recipe import Recipe
from athanor.training.search.search import fit
from projects.flight_delay.recipe import RECIPE

BATCH: Final = 1_000
"""Rows in a large request; a small one has the first of them alone."""


@dataclass(frozen=True)
class Prepared:
    """Input of every contender.

    Attributes:
        store: a copy of the home's release store, so that the run may change who takes traffic.
        pipeline: file of the fitted pipeline, by joblib.
        rows: the first `BATCH` rows as messages of the contract.
        columns: the same rows as contract columns.
        frame: the pipeline's input for them: computed features.
        probabilities: the release's own answers, float64 of shape (BATCH,).
    """

    model: Model
    store: Path
    pipeline: Path
    rows: Sequence[Message]
    columns: Mapping[str, NDArray[Any]]
    frame: Any
    probabilities: NDArray[np.float64]


def prepare(home: Home, folder: Path) -> Prepared:
    """Fits the champion's pipeline anew as its training did, and proves that it answers as the release does.

    Args:
        home: with a promoted release and the snapshot that it was trained on; nothing in it is changed.
        folder: where files of the run are written.

    Raises:
        NotFoundError: there is no such release or snapshot.
        RuntimeError: the two answer differently.
    """
    recipe, store = RECIPE, ReleaseStore(home.store)
    release = store.read(recipe.model.name, store.read_traffic(recipe.model.name).require_champion().digest)
    past, later = _read(recipe, release, home)
    rows = later.take(spread(len(later), BATCH))
    columns = {column.name: rows.columns[column.name] for column in recipe.model.contract.columns}
    messages = to_messages(recipe.model.contract.columns, columns, GetMessageClass(recipe.model.contract.row))
    # As a door reads them.
    columns = to_columns(recipe.model.contract.columns, messages)
    probabilities = Predictor(release).predict(columns)[release.contract.prediction.name]
    pipeline = _fit(recipe, release, past)
    demand_equal(probabilities, pipeline.predict_proba(rows.frame)[:, 1], "the pipeline fitted anew")
    joblib.dump(pipeline, folder / "pipeline.joblib")
    shutil.copytree(home.store, folder / "store")
    return Prepared(
        model=recipe.model,
        store=folder / "store",
        pipeline=folder / "pipeline.joblib",
        rows=messages,
        columns=columns,
        frame=rows.frame,
        probabilities=probabilities,
    )


def demand_equal(expected: NDArray[Any], found: NDArray[Any], who: str) -> None:
    """Raises RuntimeError unless answers are the expected ones, but for rounding: times of other work do not count."""
    if found.shape != expected.shape:
        raise RuntimeError(f"{who} gives answers of shape {found.shape}, expected is {expected.shape}")
    difference = np.abs(found - expected)
    if not np.all(difference <= TOLERANCE):
        row = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
        raise RuntimeError(f"{who} answers row {row} with {found[row]:.9g}, expected is {expected[row]:.9g}")


def _read(recipe: Recipe, release: Release, home: Home) -> tuple[Rows, Rows]:
    """The rows that the release was trained on, and the later ones."""
    contract = recipe.model.contract
    snapshots = list_snapshots(contract.name, home.datasets)
    snapshot = next((one for one in snapshots if one.digest == release.identity.snapshot), None)
    if snapshot is None:
        raise NotFoundError(f"{home.datasets} has no snapshot {release.identity.snapshot[:12]}, of the champion")
    columns = read_snapshot(contract, home.datasets, snapshot)
    rows, is_test = Rows.make(recipe.task, recipe.model, columns), recipe.is_test(columns)
    return rows.take(~is_test), rows.take(is_test)


def _fit(recipe: Recipe, release: Release, past: Rows) -> Any:
    identity = release.identity
    candidate = next(one for one in recipe.candidates if one.name == identity.algorithm)
    return fit(candidate.name, candidate.pipeline, dict(identity.parameters), past)
