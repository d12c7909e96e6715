"""Features: pure functions from contract columns to what a model is given, the same object in training and serving."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.errors import ContractError
from athanor.features import transforms


@dataclass(frozen=True)
class FeatureArrays:
    """What a model is given for `n` rows.

    Attributes:
        numeric: float32 of shape (n, number of numeric features); NaN for missing, never infinite.
        categorical: object array of `str` of shape (n, number of categorical features); "" for missing.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, chosen: NDArray[Any]) -> "FeatureArrays":
        """Those of rows at some positions, or where a mask is true."""
        return FeatureArrays(self.numeric[chosen], self.categorical[chosen])


@dataclass(frozen=True)
class Features:
    """A project's features.

    Attributes:
        numeric, categorical: names, in the order in which a model sees them.
        compute: takes contract columns of length n, returns one array of length n for each name. It must be pure, look
            at each row alone, and let missing values stay missing.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    compute: Callable[[Columns], Mapping[str, NDArray[Any]]]

    def __call__(self, columns: Columns) -> FeatureArrays:
        """Computes the features.

        Raises:
            ContractError: `compute` looked at a column that is not there, or returned other names than those declared.
        """
        try:
            computed = self.compute(columns)
        except KeyError as error:
            raise ContractError(f"the features look at {error}, which is no column of ROLE_FEATURE") from None
        if computed.keys() != {*self.numeric, *self.categorical}:
            differing = sorted(computed.keys() ^ {*self.numeric, *self.categorical})
            raise ContractError(f"declared and computed features differ: {', '.join(differing)}")
        length = len(next(iter(computed.values())))
        numeric = np.empty((length, len(self.numeric)), dtype=np.float32)
        categorical = np.empty((length, len(self.categorical)), dtype=object)
        for array, names in ((numeric, self.numeric), (categorical, self.categorical)):
            for position, name in enumerate(names):
                array[:, position] = computed[name]
        return FeatureArrays(numeric, categorical)

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the names and of the code that computes them: its module and `transforms`.

        Comments and layout are left out. Serving refuses a release that was trained with other features.
        """
        module = inspect.getmodule(self.compute) or self.compute
        code = (ast.dump(ast.parse(inspect.getsource(source))) for source in (module, transforms))
        return hashlib.sha256("\n".join([repr(self.numeric), repr(self.categorical), *code]).encode()).hexdigest()

    def position(self, *names: str) -> list[int]:
        """Positions of features in what a pipeline is given: the numeric ones, then the categorical ones."""
        return [(*self.numeric, *self.categorical).index(name) for name in names]


@dataclass(frozen=True)
class Model:
    """What training and serving share of a project: how its rows look and what the model sees of them."""

    contract: Contract
    features: Features

    @property
    def name(self) -> str:
        return self.contract.name
