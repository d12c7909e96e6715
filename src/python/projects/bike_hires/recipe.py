"""How the model of bike hires is trained: evaluated on the hours of the last 60 days, then fitted again on all."""

from typing import Final

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from athanor.contract.columns import Columns
from athanor.training.evaluation.slices import by_column, by_month
from athanor.training.gates.behaviour import Direction
from athanor.training.gates.metrics import BetterThanBaseline, Floor, NotWorseThanChampion
from athanor.training.recipe import Recipe
from athanor.training.splits import Latest
from projects.bike_hires.dataset import DATASET
from projects.bike_hires.model import MODEL

# Knows the hour of the day.
_BASELINE: Final = make_pipeline(
    ColumnTransformer([("hour", OneHotEncoder(handle_unknown="ignore"), MODEL.features.position("hour"))]),
    PoissonRegressor(),
)


def let_it_rain(columns: Columns) -> Columns:
    """The same hours with rain in humid air."""
    rain = np.full_like(columns["weather"], "light rain or snow")
    return {**columns, "weather": rain, "humidity": np.full_like(columns["humidity"], 95.0)}


# The candidates are the default: a linear model and boosting, both for counts.
RECIPE: Final = Recipe(
    declared_in=__name__,
    model=MODEL,
    dataset=DATASET,
    split=Latest("60d"),
    baseline=_BASELINE,
    gates=(
        Floor("mean_poisson_deviance", at_most=30.0),
        BetterThanBaseline("mean_poisson_deviance", by=10.0),
        NotWorseThanChampion("mean_poisson_deviance", margin=1.0),
        Direction("rain", let_it_rain, increases=False, share=0.8, by=5.0),
    ),
    slices=(by_column("weather"), by_month("began_at")),
)
