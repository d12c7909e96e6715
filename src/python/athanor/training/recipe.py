"""Recipes: what a project declares about training."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from athanor.contract.columns import Columns
from athanor.data.dataset import Dataset
from athanor.errors import ContractError
from athanor.features.features import Model


@dataclass(frozen=True)
class Candidate:
    """A pipeline and the parameters to try with it.

    Attributes:
        pipeline: unfitted scikit-learn classifier over `Features`: the numeric columns, then the categorical ones;
            select them by position (`Features.position`), since the compiled graph knows no names.
        grid: values to try by parameter name; all combinations are.
    """

    name: str
    pipeline: BaseEstimator
    grid: Mapping[str, Sequence[bool | int | float | str | None]]


@dataclass(frozen=True)
class Gate:
    """A condition that a release must meet.

    Attributes:
        metric: name of a metric of `evaluate`, or `<metric> gain` for how much better it is than the baseline's.
        at_least, at_most: bounds, inclusive; None for none, but not both.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ContractError(f"gate on {self.metric} has no bound; a gate that cannot fail is none")


@dataclass(frozen=True)
class Recipe:
    """All that a project says about training.

    Attributes:
        declared_in: name of the module that declares it, `__name__`.
        test_from: rows from this event time on (UTC) are only for evaluation.
        folds: of the search; each validates on rows later than those it fits.
        scoring: scikit-learn's name of the score that the search maximises.
        baseline: fitted once, on the same rows as the winner; what a release must beat.
        slices: text columns by whose values the evaluation is broken down.
    """

    declared_in: str
    model: Model
    dataset: Dataset
    test_from: datetime
    candidates: tuple[Candidate, ...]
    baseline: BaseEstimator
    gates: tuple[Gate, ...]
    slices: tuple[str, ...] = ()
    folds: int = 2
    scoring: str = "average_precision"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.test_from.tzinfo is None:
            raise ContractError(f"test_from {self.test_from} has no time zone")
        for name in self.slices:
            self.model.contract.column(name)

    def is_test(self, columns: Columns) -> NDArray[np.bool_]:
        """Which rows are only for evaluation."""
        boundary = np.datetime64(int(self.test_from.timestamp() * 1_000_000), "us")
        return np.asarray(columns[self.model.contract.event_time.name] >= boundary)

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the code of the module that declares the recipe, without comments and layout."""
        code = ast.dump(ast.parse(inspect.getsource(sys.modules[self.declared_in])))
        return hashlib.sha256(code.encode()).hexdigest()
