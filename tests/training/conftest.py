"""A recipe that trains in a blink on flights that never were."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from support.flights import make_columns
from support.snapshots import commit_columns

from athanor.data.dataset import Dataset, Transformed
from athanor.data.snapshot import Snapshot
from athanor.data.sources.delimited import DelimitedFiles
from athanor.home import Home
from athanor.training.recipe import Candidate, Gate, Recipe
from projects.flight_delay.model import MODEL

ROWS: Final = 400
TEST_FROM: Final = datetime(2013, 1, 8, tzinfo=UTC)

MakeRecipe: TypeAlias = Callable[..., Recipe]


def _transform(tables: Any) -> Transformed:
    raise AssertionError("training reads snapshots, never sources")


def _make_pipeline(*names: str) -> Any:
    """A classifier over some numeric features and the origin."""
    numeric = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(
        ColumnTransformer(
            [
                ("numeric", numeric, MODEL.features.position(*names)),
                ("categorical", OneHotEncoder(handle_unknown="ignore"), MODEL.features.position("origin")),
            ]
        ),
        LogisticRegression(),
    )


@pytest.fixture
def make_recipe() -> MakeRecipe:
    """Makes the recipe, with some of its parts replaced."""

    def make(**replaced: Any) -> Recipe:
        parts: dict[str, Any] = {
            "declared_in": __name__,
            "model": MODEL,
            "dataset": Dataset({"flights": DelimitedFiles("nowhere.csv")}, "flights", _transform),
            "test_from": TEST_FROM,
            "candidates": (
                Candidate("visibility", _make_pipeline("visibility"), {}),
                Candidate("distance", _make_pipeline("distance", "wind_speed"), {"logisticregression__C": (0.1, 1.0)}),
            ),
            "baseline": DummyClassifier(),
            "gates": (Gate("roc_auc", at_least=0.6), Gate("brier_score gain", at_least=0.0)),
            "slices": ("origin",),
        }
        return Recipe(**{**parts, **replaced})

    return make


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def snapshot(home: Home) -> Snapshot:
    return commit_columns(MODEL.contract, make_columns(ROWS), home.datasets)[0]
