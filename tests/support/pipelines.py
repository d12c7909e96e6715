"""Pipelines and a recipe that train quickly on synthetic flights."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from athanor.data.dataset import Dataset, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.training.candidates import Candidate
from athanor.training.evaluation.slices import by_column
from athanor.training.gates.metrics import BetterThanBaseline, Floor
from athanor.training.recipe import Recipe
from athanor.training.splits import From
from projects.delays.model import MODEL

TEST_FROM: Final = datetime(2013, 1, 8, tzinfo=UTC)

MakeRecipe: TypeAlias = Callable[..., Recipe]


def transform_nothing(tables: Any) -> Transformed:
    raise AssertionError("training reads snapshots, never sources")


def make_pipeline_over(*names: str) -> Any:
    """A classifier of some numeric features and the origin."""
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


def make_recipe(**replaced: Any) -> Recipe:
    """A recipe with some fields replaced."""
    parts: dict[str, Any] = {
        "declared_in": __name__,
        "model": MODEL,
        "dataset": Dataset({"flights": DelimitedFiles("nowhere.csv")}, "flights", transform_nothing),
        "split": From(TEST_FROM),
        "candidates": (
            Candidate("visibility", make_pipeline_over("visibility"), {}),
            Candidate("distance", make_pipeline_over("distance", "wind_speed"), {"logisticregression__C": (0.1, 1.0)}),
        ),
        "baseline": DummyClassifier(),
        "gates": (Floor("roc_auc", at_least=0.6), BetterThanBaseline("brier_score", by=0.0)),
        "slices": (by_column("origin"),),
    }
    return Recipe(**{**parts, **replaced})
