"""How the model of late arrivals is trained: on January to September, evaluated on October to December."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder

from athanor.contract.columns import Columns
from athanor.training.candidates import Candidate
from athanor.training.evaluation.slices import by_column, by_month
from athanor.training.gates.artefact import GraphSize, Latency, Parity
from athanor.training.gates.behaviour import Direction, Invariance, MinimumFunction
from athanor.training.gates.metrics import BetterThanBaseline, CalibrationError, Floor, NotWorseThanChampion
from athanor.training.gates.slices import NoSliceWorse
from athanor.training.recipe import Recipe
from athanor.training.splits import From
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

_RANDOM_FOREST: Final = make_pipeline(
    ColumnTransformer(
        [
            ("numeric", SimpleImputer(strategy="median"), _NUMERIC),
            ("categorical", TargetEncoder(cv=StratifiedKFold(shuffle=True, random_state=_SEED)), _CATEGORICAL),
        ]
    ),
    RandomForestClassifier(n_estimators=40, random_state=_SEED),
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

_SLICES: Final = (by_column("carrier"), by_column("origin"), by_month("scheduled_departure"))


def renumber(columns: Columns) -> Columns:
    """The same flights under another number."""
    return {**columns, "flight_number": np.ones_like(columns["flight_number"])}


def clear_the_sky(columns: Columns) -> Columns:
    """The same flights in calm and clear weather."""
    return _with(columns, visibility=10.0, precipitation=0.0, wind_speed=5.0, wind_gust=np.nan)


def bring_a_storm(columns: Columns) -> Columns:
    """The same flights in a storm."""
    return _with(columns, visibility=0.5, precipitation=0.3, wind_speed=30.0, wind_gust=40.0)


def _with(columns: Columns, **values: float) -> Columns:
    return {**columns, **{name: np.full_like(columns[name], value) for name, value in values.items()}}


def _flight(departure: str, **values: float | str) -> Columns:
    """A flight as one row, from values that are usual otherwise."""
    usual: dict[str, float | str] = {
        "carrier": "DL",
        "flight_number": 100.0,
        "origin": "LGA",
        "destination": "ATL",
        "scheduled_arrival_minute": 540.0,
        "distance": 762.0,
        "aircraft_year": 2000.0,
        "aircraft_seats": 180.0,
        "temperature": 50.0,
        "dew_point": 35.0,
        "relative_humidity": 56.0,
        "wind_direction": 300.0,
        "wind_speed": 5.0,
        "wind_gust": np.nan,
        "precipitation": 0.0,
        "pressure": 1_020.0,
        "visibility": 10.0,
    }
    row = {
        name: np.array([value], dtype=object if isinstance(value, str) else np.float64)
        for name, value in {**usual, **values}.items()
    }
    return {"scheduled_departure": np.array([departure], dtype="M8[us]"), **row}


_CALM_MORNING: Final = _flight("2013-10-09T10:15:00")
_SNOW_IN_THE_EVENING: Final = _flight(
    "2013-12-17T23:30:00",
    carrier="EV",
    origin="EWR",
    scheduled_arrival_minute=1_245.0,
    temperature=30.0,
    dew_point=27.0,
    relative_humidity=93.0,
    wind_speed=13.0,
    precipitation=0.05,
    pressure=1_003.0,
    visibility=1.0,
)

RECIPE: Final = Recipe(
    declared_in=__name__,
    model=MODEL,
    dataset=DATASET,
    split=From(datetime(2013, 10, 1, tzinfo=UTC)),
    candidates=(
        Candidate("logistic regression", _LOGISTIC_REGRESSION, {"logisticregression__C": (0.01, 0.1, 1.0)}),
        Candidate(
            "random forest",
            _RANDOM_FOREST,
            {"randomforestclassifier__min_samples_leaf": (50, 100), "randomforestclassifier__max_features": (0.2, 0.4)},
        ),
        Candidate(
            "histogram gradient boosting",
            _GRADIENT_BOOSTING,
            {
                "histgradientboostingclassifier__max_leaf_nodes": (15, 31, 63),
                "histgradientboostingclassifier__learning_rate": (0.05, 0.1),
                "histgradientboostingclassifier__l2_regularization": (0.0, 10.0),
            },
        ),
    ),
    baseline=_BASELINE,
    gates=(
        Floor("roc_auc", at_least=0.66),
        Floor("average_precision", at_least=0.36),
        BetterThanBaseline("roc_auc", by=0.03),
        BetterThanBaseline("average_precision", by=0.03),
        BetterThanBaseline("brier_score", by=0.0),
        NotWorseThanChampion("average_precision", margin=0.005),
        NotWorseThanChampion("brier_score", margin=0.001),
        NoSliceWorse(_SLICES, "roc_auc", largest_drop=0.1, smallest_rows=1_000),
        CalibrationError(at_most=0.05),
        Invariance("flight number", renumber, at_most=0.0),
        Direction("storm", bring_a_storm, increases=True, share=0.9, by=0.1),
        Direction("clear sky", clear_the_sky, increases=False, share=0.5, by=0.0),
        MinimumFunction("calm early morning", _CALM_MORNING, low=0.0, high=0.15),
        MinimumFunction("snow in the evening", _SNOW_IN_THE_EVENING, low=0.55, high=1.0),
        Parity(),
        Latency(at_most_ms=5.0),
        GraphSize(at_most_bytes=20_000_000),
    ),
    slices=_SLICES,
    trials=8,
    seed=_SEED,
)
