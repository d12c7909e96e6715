"""Pipelines of estimators that split categories themselves, instead of numbers that stand for them."""

from typing import Any

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from athanor.errors import ContractError
from athanor.features.features import Features


def make_categorical_pipeline(features: Features, estimator: Any) -> Pipeline:
    """A pipeline of an estimator with categories and missing values of its own.

    Numeric features pass as they are, NaN for a missing one. Categorical ones become codes, which the estimator takes
    for categories; a text that no training row has is none of them. "" is a category like any other.

    Args:
        estimator: unfitted, of LightGBM or of scikit-learn's histogram gradient boosting.

    Raises:
        ContractError: the estimator has no categories of its own.

    >>> from lightgbm import LGBMClassifier
    >>> features = Features(("amount",), ("color",), lambda columns: columns)
    >>> pipeline = make_categorical_pipeline(features, LGBMClassifier(n_jobs=1, random_state=0))
    >>> pipeline[-1].get_params()["categorical_features"]
    [1]
    """
    numeric, categorical = features.position(*features.numeric), features.position(*features.categorical)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("numeric", "passthrough", numeric), ("categorical", codes, categorical)])
    try:
        # LightGBM takes this name for its own; by `categorical_feature` it would warn.
        last = clone(estimator).set_params(categorical_features=categorical)
    except ValueError:
        raise ContractError(
            f"{type(estimator).__name__} has no categories of its own; use LGBMClassifier, LGBMRegressor, "
            "HistGradientBoostingClassifier or HistGradientBoostingRegressor, or an encoder"
        ) from None
    return make_pipeline(columns, last)
