"""The interface of what converts the fitted estimators of one library to ONNX."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from athanor.training.compile.nodes import Nodes


@dataclass(frozen=True)
class Values:
    """A tensor that an estimator takes, of shape (n, width).

    Attributes:
        name: of the tensor.
        is_text, is_double: its type; float32 if neither.
    """

    name: str
    width: int
    is_text: bool = False
    is_double: bool = False


@dataclass(frozen=True)
class Conversion:
    """How one class of estimators is converted.

    Attributes:
        convert: adds nodes and gives the tensor of what the estimator computes of some values: what it transforms them
            to, or a number, or the probability of each class; shape (n, width), float64 unless it keeps the type.
        width: of a fitted estimator's result.
        keeps_type: whether the result has the type of the input.
    """

    convert: Callable[[Nodes, Any, Values], str]
    width: Callable[[Any], int]
    keeps_type: bool = False


class Library(Protocol):
    """Conversions and refusals of the estimators of one library."""

    @property
    def conversions(self) -> Mapping[type, Conversion]:
        """By class: what skl2onnx does not convert, or converts to another answer."""

    def list_refusals(self, estimator: Any, is_last: bool) -> Iterator[str]:
        """Why a fitted estimator cannot be compiled, with remedies: the graph would answer otherwise.

        Args:
            is_last: whether it is the last step of the pipeline, not inside another estimator.
        """
