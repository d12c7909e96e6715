"""Recipes: what a project declares about training."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from athanor.contract.columns import Columns
from athanor.data.dataset import Dataset
from athanor.errors import ContractError
from athanor.features.features import Model
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.gate import Gate


class Distribution(Protocol):
    """What values of a parameter can be drawn from, as those of `scipy.stats` can."""

    def rvs(self, *, random_state: Any = None) -> Any: ...


@dataclass(frozen=True)
class Candidate:
    """A pipeline and the parameters to try with it.

    Attributes:
        pipeline: unfitted scikit-learn classifier over `Features`: the numeric columns, then the categorical ones;
            select them by position (`Features.position`), since the compiled graph knows no names. What is fitted, as
            encodings and imputation are, lies within it.
        space: values to try by parameter name, or a distribution to draw them from.
    """

    name: str
    pipeline: BaseEstimator
    space: Mapping[str, Sequence[bool | int | float | str | None] | Distribution]


@dataclass(frozen=True)
class Recipe:
    """All that a project says about training.

    Attributes:
        declared_in: name of the module that declares it, `__name__`.
        test_from: rows from this event time on (UTC) are only for evaluation.
        candidates: among which the search selects, algorithm and parameters together.
        trials: how many the search draws from all candidates; None for all combinations.
        folds: of the search; each validates on rows later than those it fits.
        scoring: scikit-learn's name of the score that the search maximises.
        baseline: fitted once, on the same rows as the winner; what a release must beat.
        slices: by which the evaluation is broken down.
        calibrate: whether probabilities are calibrated where that helps.
        seed: of the search and of the intervals; estimators have seeds of their own.
    """

    declared_in: str
    model: Model
    dataset: Dataset
    test_from: datetime
    candidates: tuple[Candidate, ...]
    baseline: BaseEstimator
    gates: tuple[Gate, ...]
    slices: tuple[Slice, ...] = ()
    trials: int | None = None
    folds: int = 2
    scoring: str = "average_precision"
    calibrate: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.test_from.tzinfo is None:
            raise ContractError(f"test_from {self.test_from} has no time zone")
        for kind, names in (
            ("gates", [gate.name for gate in self.gates]),
            ("candidates", [candidate.name for candidate in self.candidates]),
            ("slices", [slice_.name for slice_ in self.slices]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ContractError(f"{self.declared_in} has two {kind} of the same name: {', '.join(twice)}")
        if not self.candidates:
            raise ContractError(f"{self.declared_in} has no candidates; give at least one")

    def is_test(self, columns: Columns) -> NDArray[np.bool_]:
        """Which rows are only for evaluation."""
        boundary = np.datetime64(int(self.test_from.timestamp() * 1_000_000), "us")
        return np.asarray(columns[self.model.contract.event_time.name] >= boundary)

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the code of the module that declares the recipe, without comments and layout."""
        code = ast.dump(ast.parse(inspect.getsource(sys.modules[self.declared_in])))
        return hashlib.sha256(code.encode()).hexdigest()
