"""Features: pure functions from contract columns to model inputs, the same objects in training and serving.

Helpers are in `athanor.features.transforms`. Its docstrings have no examples, because its code is part of every feature
digest; they stand here. Times are local to a zone, and a cyclic value is a point on a circle:

>>> transforms.to_local_time(np.array(["NaT", "2013-07-01T12:00"], dtype="M8[us]"), "America/New_York")
array([                       'NaT', '2013-07-01T08:00:00.000000'],
      dtype='datetime64[us]')
>>> sine, cosine = transforms.cyclic(np.array([np.nan, 0.0, 6.0]), period=24)
>>> sine.round(3).tolist(), cosine.round(3).tolist()
([nan, 0.0, 1.0], [nan, 1.0, 0.0])
"""

import ast
import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.errors import ContractError
from athanor.features import transforms

# Kinds of values, as numpy names them, that are not allowed in an array of a kind: times and bytes, for example.
_NOT_ALLOWED: Final = {"f": "mMcSUV", "O": "mMcSVfiub"}


@dataclass(frozen=True)
class FeatureArrays:
    """Model inputs of n rows.

    Attributes:
        numeric: float32 of shape (n, number of numeric features); NaN for missing, never infinite.
        categorical: object array of `str` of shape (n, number of categorical features); "" for missing.

    >>> arrays = FeatureArrays(np.array([[1.5], [np.nan]], dtype=np.float32), np.array([["red"], [""]], dtype=object))
    >>> arrays.take(np.array([False, True])).categorical.tolist()
    [['']]
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, chosen: NDArray[Any]) -> "FeatureArrays":
        """The features of the rows at some positions, or where a mask is true."""
        return FeatureArrays(self.numeric[chosen], self.categorical[chosen])


class _Given(dict[str, NDArray[Any]]):
    """Columns that say why one is not among them. Other errors of `compute`, a KeyError too, are its own."""

    def __missing__(self, name: str) -> NDArray[Any]:
        raise ContractError(f"the features use the column {name!r}, which does not have ROLE_FEATURE")


def _misshapen(name: str, values: NDArray[Any], length: int) -> ContractError:
    return ContractError(
        f"the feature {name} is an array of shape {values.shape} and type {values.dtype}; it must have the shape "
        f"({length},), one value for each row, and hold numbers if it is numeric, texts if it is categorical"
    )


@dataclass(frozen=True)
class Features:
    """A project's features.

    Attributes:
        numeric, categorical: names, in the order of the model's inputs.
        compute: takes contract columns of length n and returns one array of length n for each name. It must be pure,
            treat each row independently, and keep missing values missing. It gets only columns with ROLE_FEATURE.

    >>> features = Features(
    ...     numeric=("log_amount",),
    ...     categorical=("color",),
    ...     compute=lambda columns: {"log_amount": np.log1p(columns["amount"]), "color": columns["color"]},
    ... )
    >>> columns = {"amount": np.array([np.nan, 0.0]), "color": np.array(["", "red"], dtype=object)}
    >>> features(columns).numeric.tolist(), features(columns).categorical.tolist()
    ([[nan], [0.0]], [[''], ['red']])
    >>> features.position("color")
    [1]
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    compute: Callable[[Columns], Mapping[str, NDArray[Any]]]

    def __call__(self, columns: Columns) -> FeatureArrays:
        """Computes the features.

        Raises:
            ContractError: `compute` used a column that is not there, or returned names other than the declared ones,
                another number of values than rows, or values that are no numbers for a numeric feature.
        """
        computed = self.compute(_Given(columns))
        if computed.keys() != {*self.numeric, *self.categorical}:
            differing = sorted(computed.keys() ^ {*self.numeric, *self.categorical})
            raise ContractError(f"declared and computed features differ: {', '.join(differing)}")
        length = len(next(iter(columns.values())))
        numeric = np.empty((length, len(self.numeric)), dtype=np.float32)
        categorical = np.empty((length, len(self.categorical)), dtype=object)
        for array, names in ((numeric, self.numeric), (categorical, self.categorical)):
            for position, name in enumerate(names):
                values = np.asarray(computed[name])
                # Numpy would repeat one value for all rows, and turn a time into a number.
                if values.shape != (length,) or values.dtype.kind in _NOT_ALLOWED[array.dtype.kind]:
                    raise _misshapen(name, values, length)
                try:
                    array[:, position] = values
                except (TypeError, ValueError):
                    raise _misshapen(name, values, length) from None
        return FeatureArrays(numeric, categorical)

    @cached_property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the names and of the syntax trees of `compute`'s module and of `transforms`.

        Comments and layout do not count; docstrings do. Serving refuses a release trained with a different digest.
        """
        module = inspect.getmodule(self.compute) or self.compute
        code = (ast.dump(ast.parse(inspect.getsource(source))) for source in (module, transforms))
        return hashlib.sha256("\n".join([repr(self.numeric), repr(self.categorical), *code]).encode()).hexdigest()

    def position(self, *names: str) -> list[int]:
        """Positions of features among the inputs of a pipeline: the numeric ones, then the categorical ones."""
        return [(*self.numeric, *self.categorical).index(name) for name in names]


@dataclass(frozen=True)
class Model:
    """What training and serving share of a project: its contract and its features.

    >>> Model(contract, Features(("amount",), (), lambda columns: {"amount": columns["amount"]})).name == contract.name
    True
    """

    contract: Contract
    features: Features

    @property
    def name(self) -> str:
        return self.contract.name
