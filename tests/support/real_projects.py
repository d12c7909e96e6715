"""Trains a project of the product on its real data, as its recipe says."""

from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.data.building.snapshot_build import build_snapshot
from athanor.data.snapshots.snapshot import Snapshot, read_snapshot
from athanor.home import Home
from athanor.release.predictor import Predictor
from athanor.training.recipe import Recipe
from athanor.training.train.train import Training, train
from athanor.training.train.verification import Verification, verify


@dataclass(frozen=True)
class RealProject:
    """A trained project.

    Attributes:
        training: of the recipe without a refit, whose model has not seen the held-out rows.
        held_out: the columns of the rows that the recipe evaluates on.
        answers: to these rows, of the release.
    """

    recipe: Recipe
    home: Home
    snapshot: Snapshot
    training: Training
    held_out: Columns
    answers: Columns

    @property
    def metrics(self) -> dict[str, float]:
        return dict(self.training.release.identity.metrics)

    def predict(self, **changes: Any) -> NDArray[Any]:
        """What the release predicts for the held-out rows, with other values in some columns."""
        rows = {name: values.copy() for name, values in self.held_out.items()}
        for name, value in changes.items():
            rows[name][:] = value
        return Predictor(self.training.release).predict(rows)[self.recipe.model.contract.prediction.name]

    def train_and_verify(self) -> tuple[Training, Verification]:
        """A training by the recipe as it is, and its rebuild."""
        with joblib.parallel_config(backend="sequential"):
            training = train(self.recipe, self.snapshot, self.home)
            return training, verify(self.recipe, training.release, self.home)


def train_project(recipe: Recipe, home: Home) -> RealProject:
    """Builds the project's snapshot and trains on it, in this process: starting others takes seconds."""
    snapshot = build_snapshot(recipe.model.contract, recipe.dataset, home).snapshot
    with joblib.parallel_config(backend="sequential"):
        training = train(replace(recipe, refit=False), snapshot, home)
    columns = read_snapshot(recipe.model.contract, home.datasets, snapshot)
    chosen = np.flatnonzero(recipe.is_test(columns))
    held_out = {name: values[chosen] for name, values in columns.items()}
    return RealProject(recipe, home, snapshot, training, held_out, Predictor(training.release).predict(held_out))
