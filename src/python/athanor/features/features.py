"""Features: what a model sees of a row. They are functions of arrays, traced once into the graph of a release.

The same graph computes them in training, in evaluation and in serving. Helpers are in `times`, `numbers` and `texts`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from athanor.features.arrays import Compute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from athanor.contract.columns import Column, Columns
    from athanor.contract.contract import Contract


@dataclass(frozen=True)
class Features:
    """A project's features.

    Attributes:
        numeric, categorical: names, in the order of the model's inputs.
        compute: takes an array of shape (n,) for each contract column with ROLE_FEATURE and returns one of shape (n,)
            for each name: numbers or booleans if it is numeric, texts if it is categorical. The arrays are ndonnx's:
            see `arrays`. It must be pure, treat each row independently, and keep missing values missing.

    >>> features = Features(
    ...     numeric=("log_amount",),
    ...     categorical=("color",),
    ...     compute=lambda columns: {"log_amount": xp.log1p(columns["amount"]), "color": columns["color"]},
    ... )
    >>> columns = {"amount": np.array([np.nan, 0.0]), "color": np.array(["", "red"], dtype=object)}
    >>> {name: values.tolist() for name, values in features.eager(columns).items()}
    {'log_amount': [nan, 0.0], 'color': ['', 'red']}
    >>> features.position("color")
    [1]
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    compute: Compute

    def trace(self, columns: Sequence[Column]) -> bytes:
        """The features as an ONNX graph.

        Args:
            columns: of the contract. The graph takes those with ROLE_FEATURE, as `GraphInputs` packs them.

        Returns:
            The same bytes for the same computation. Outputs of the graph are `numeric`, float32 of shape (n, number of
            numeric features), and `categorical`, texts of shape (n, number of categorical features); one without
            features is absent.

        Raises:
            ContractError: `compute` needs values where there are none yet (NumPy, `if`, `float`, loops over rows), or
                a column without ROLE_FEATURE; it returns other names than the declared ones, or no array of shape (n,)
                of the declared kind; or rows depend on each other. The message says where, and what to write instead.
        """
        from athanor.features.tracing.trace import trace  # noqa: PLC0415 - its libraries take 0.5 s to import

        return trace(self, columns)

    def eager(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """The features of rows, computed operation by operation: for tests and notebooks, at a millisecond each.

        Args:
            columns: contract columns of length n, any that `compute` uses.

        Returns:
            float32 of shape (n,) for each numeric feature, an object array of `str` for each categorical one.

        Raises:
            ContractError: as `trace` does.
        """
        from athanor.features.tracing.trace import run_eagerly  # noqa: PLC0415 - as above

        return run_eagerly(self, columns)

    def position(self, *names: str) -> list[int]:
        """Positions of features among the inputs of a pipeline: the numeric ones, then the categorical ones."""
        return [(*self.numeric, *self.categorical).index(name) for name in names]


@dataclass(frozen=True)
class Model:
    """What a project declares of its model: its contract and its features.

    >>> model = Model(contract, Features(("amount",), (), lambda columns: {"amount": columns["amount"]}))
    >>> model.name == contract.name
    True
    """

    contract: Contract
    features: Features

    @property
    def name(self) -> str:
        return self.contract.name

    @cached_property
    def graph(self) -> bytes:
        """The features of the contract's columns as an ONNX graph. Raises ContractError, as `Features.trace` does."""
        return self.features.trace(self.contract.columns)

    @cached_property
    def features_digest(self) -> str:
        """sha256, in hexadecimal, of the features' names and graph.

        Neither the version of Python nor code that computes the same changes it. Rules of a time zone in use do.
        """
        names = json.dumps([self.features.numeric, self.features.categorical])
        return hashlib.sha256(names.encode() + self.graph).hexdigest()
