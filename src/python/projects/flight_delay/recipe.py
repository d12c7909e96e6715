"""How the model of late arrivals is trained: on January to September, evaluated on October to December."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from athanor.training.recipe import Candidate, Gate, Recipe
from projects.flight_delay.dataset import DATASET
from projects.flight_delay.model import MODEL

_SEED: Final = 0
_NUMERIC: Final = MODEL.features.position(*MODEL.features.numeric)
_CATEGORICAL: Final = MODEL.features.position(*MODEL.features.categorical)

_LOGISTIC_REGRESSION: Final = make_pipeline(
    ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(), StandardScaler()), _NUMERIC),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), _CATEGORICAL),
        ]
    ),
    LogisticRegression(max_iter=200),
)

_GRADIENT_BOOSTING: Final = make_pipeline(
    ColumnTransformer(
        [
            ("numeric", "passthrough", _NUMERIC),
            ("categorical", TargetEncoder(cv=StratifiedKFold(shuffle=True, random_state=_SEED)), _CATEGORICAL),
        ]
    ),
    # Early stopping would hold out random rows, not later ones.
    HistGradientBoostingClassifier(learning_rate=0.05, early_stopping=False, random_state=_SEED),
)

# Knows the carrier and the hour of departure, as anybody at the airport does.
_BASELINE: Final = make_pipeline(
    ColumnTransformer(
        [
            (
                "hour",
                make_pipeline(FunctionTransformer(np.floor), OneHotEncoder(handle_unknown="ignore")),
                MODEL.features.position("departure_hour"),
            ),
            ("carrier", OneHotEncoder(handle_unknown="ignore"), MODEL.features.position("carrier")),
        ]
    ),
    LogisticRegression(max_iter=200),
)

RECIPE: Final = Recipe(
    declared_in=__name__,
    model=MODEL,
    dataset=DATASET,
    test_from=datetime(2013, 10, 1, tzinfo=UTC),
    candidates=(
        Candidate("logistic regression", _LOGISTIC_REGRESSION, {"logisticregression__C": (0.1, 1.0)}),
        Candidate(
            "histogram gradient boosting",
            _GRADIENT_BOOSTING,
            {"histgradientboostingclassifier__max_leaf_nodes": (15, 31)},
        ),
    ),
    baseline=_BASELINE,
    gates=(
        Gate("roc_auc", at_least=0.66),
        Gate("average_precision", at_least=0.36),
        Gate("roc_auc gain", at_least=0.03),
        Gate("average_precision gain", at_least=0.03),
        Gate("brier_score gain", at_least=0.0),
    ),
    slices=("carrier", "origin"),
    seed=_SEED,
)
