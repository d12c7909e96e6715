"""How the model of house prices is trained: evaluated on the sales of the last 60 days, then fitted again on all."""

from typing import Any, Final

import numpy as np
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder

from athanor.contract.columns import Columns
from athanor.training.candidates import Candidate
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.artefact import Latency
from athanor.training.gates.behaviour import Direction
from athanor.training.gates.coverage import Coverage
from athanor.training.gates.metrics import BetterThanBaseline, Floor, NotWorseThanChampion
from athanor.training.recipe import Recipe
from athanor.training.splits import Latest
from projects.house_prices.dataset import DATASET
from projects.house_prices.model import MODEL

_SEED: Final = 0
# Prices are whole dollars: without its type the encoder would take each for a class.
_ZIP_CODE: Final = TargetEncoder(target_type="continuous", cv=KFold(shuffle=True, random_state=_SEED))
_LIGHTGBM: Final = make_pipeline(
    ColumnTransformer(
        [
            ("numeric", "passthrough", MODEL.features.position(*MODEL.features.numeric)),
            ("zip_code", _ZIP_CODE, MODEL.features.position("zip_code")),
        ]
    ),
    # The error of a price grows with it, and no price is negative: gamma's link is the logarithm. A search runs trials
    # in parallel, each on one thread.
    LGBMRegressor(objective="gamma", n_estimators=200, learning_rate=0.05, random_state=_SEED, n_jobs=1, verbose=-1),
)


def _grade(columns: Columns) -> NDArray[Any]:
    return np.select([columns["grade"] < 7, columns["grade"] < 9], ["below 7", "7 and 8"], "9 and above").astype(object)


_SLICES: Final = (Slice("grade", _grade),)


def enlarge(columns: Columns) -> Columns:
    """The same houses with half as much area again."""
    return {**columns, "living_area": columns["living_area"] * 1.5}


RECIPE: Final = Recipe(
    declared_in=__name__,
    model=MODEL,
    dataset=DATASET,
    split=Latest("60d"),
    candidates=(Candidate("LightGBM", _LIGHTGBM, {"lgbmregressor__num_leaves": (15, 31)}),),
    gates=(
        Floor("r2", at_least=0.75),
        BetterThanBaseline("mae", by=100_000),
        NotWorseThanChampion("mae", margin=2_000),
        # Prices rose in the spring of 2015, those of plain houses the most: of them the intervals hold fewer.
        Coverage(at_least=0.88, at_most=0.92, slices=_SLICES, slice_margin=0.12),
        Direction("larger house", enlarge, increases=True, share=0.95, by=50_000),
        Latency(at_most_ms=5.0),
    ),
    slices=_SLICES,
    seed=_SEED,
)
