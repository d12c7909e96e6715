"""Candidates: pipelines among which a search selects, and the parameters to try with each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import NoneType
from typing import Any, Final, Protocol

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from athanor.features.features import Features
from athanor.tasks.task import Task

_SCALARS: Final = (bool, int, float, str, np.generic, NoneType)
_BELOW_ALL: Final = -1e30


class Distribution(Protocol):
    """A distribution of parameter values, such as those of `scipy.stats`."""

    def rvs(self, *, random_state: Any = None) -> Any: ...


@dataclass(frozen=True)
class Candidate:
    """A pipeline and the parameters to try with it.

    Attributes:
        pipeline: unfitted scikit-learn classifier or regressor. Its input is a frame with the numeric features
            (float32), then the categorical ones (text). Select columns by position (`Features.position`), since the
            compiled graph has no names. Everything that is fitted, such as encoders and imputers, belongs inside.
        space: a list of values, or a distribution to sample, by parameter name.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    >>> candidate = Candidate("logistic regression", pipeline, {"logisticregression__C": (0.1, 1.0)})
    >>> set(candidate.space) <= set(candidate.pipeline.get_params())
    True
    """

    name: str
    pipeline: BaseEstimator
    space: Mapping[str, Sequence[bool | int | float | str | None] | Distribution]


def default_candidates(task: Task, features: Features, seed: int = 0) -> tuple[Candidate, ...]:
    """A linear model and gradient boosting, which compile for every task.

    Neither fails on a feature without any value, as a column has before it begins: it is a constant to both. Beyond the
    range of the fitted rows, both answer as at its end.

    Args:
        seed: `random_state` of the estimators.
    """
    numeric, categorical = features.position(*features.numeric), features.position(*features.categorical)
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    # Boosting splits off missing values as it would by itself, but does not take a feature that has no others.
    mark = SimpleImputer(strategy="constant", fill_value=_BELOW_ALL, keep_empty_features=True)
    one_hot = OneHotEncoder(handle_unknown="ignore")
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    # Within the range of the fitted rows: the exponential of a number far beyond them would be infinite.
    bound = MinMaxScaler(clip=True)
    parts = (
        ("linear", task.default_linear(), make_pipeline(impute, bound, StandardScaler()), one_hot),
        ("boosting", task.default_boosting(seed), mark, ordinal),
    )
    return tuple(
        Candidate(
            name,
            make_pipeline(
                ColumnTransformer([("numeric", of_numbers, numeric), ("text", of_texts, categorical)]), model
            ),
            {f"{type(model).__name__.lower()}__{parameter}": values for parameter, values in space.items()},
        )
        for name, (model, space), of_numbers, of_texts in parts
    )


def list_space_problems(candidate: Candidate) -> Iterator[str]:
    """Parameters that the pipeline lacks, or that have no values, or other than scalars."""
    known = candidate.pipeline.get_params()
    for name, values in candidate.space.items():
        where = f"candidate {candidate.name!r}: the parameter {name}"
        if name not in known:
            close = get_close_matches(name, known) or sorted(key for key in known if "__" in key) or sorted(known)
            yield f"{where} does not exist in its pipeline; did you mean {' or '.join(close[:3])}?"
        if hasattr(values, "rvs"):
            continue
        given: Sequence[object] = values
        if isinstance(given, str) or not len(given):
            yield f"{where} has the values {given!r}; give at least one in a tuple, or a distribution"
        elif other := [value for value in given if not isinstance(value, _SCALARS)]:
            yield (
                f"{where} has a value of type {type(other[0]).__name__}; allowed are bool, int, float, str and None. "
                "Declare a candidate for each instead"
            )
