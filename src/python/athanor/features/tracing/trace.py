"""Traces a function of arrays into an ONNX graph, and runs it on values for tests and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import spox
from spox import Tensor

from athanor.contract.columns import Columns
from athanor.contract.inputs import INSTANTS, NUMBERS, TEXTS, GraphInputs
from athanor.errors import ContractError
from athanor.features.arrays import Arrays, Compute, op, xp
from athanor.features.tracing.canonical import canonicalize
from athanor.features.tracing.refusals import locate, refuse
from athanor.features.tracing.trial import require_length, try_on_rows
from athanor.features.tracing.watch import watch_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndonnx import Array
    from numpy.typing import NDArray
    from spox import Var

    from athanor.contract.columns import Column

NUMERIC: Final = "numeric"
CATEGORICAL: Final = "categorical"


class Traceable(Protocol):
    """A function of arrays and the names of what it returns: `Features`."""

    @property
    def numeric(self) -> tuple[str, ...]: ...
    @property
    def categorical(self) -> tuple[str, ...]: ...
    @property
    def compute(self) -> Compute: ...


class _Given(dict[str, "Array"]):
    """Columns that say why one is not among them. Other errors of `compute`, a KeyError too, are its own."""

    def __missing__(self, name: str) -> Array:
        raise ContractError(
            f"the features use the column {name!r}, which does not have ROLE_FEATURE; those that do: {', '.join(self)}"
        )


def trace(traceable: Traceable, columns: Sequence[Column]) -> bytes:
    """The graph of the features of a contract's columns; see `Features.trace`."""
    inputs = GraphInputs.of(columns)
    tensors = _make_arguments(inputs)
    taken = {
        **{name: _take(tensors[NUMBERS], position) for position, name in enumerate(inputs.numbers)},
        **{name: _take(tensors[INSTANTS], position) for position, name in enumerate(inputs.instants)},
        **{name: _take(tensors[TEXTS], position) for position, name in enumerate(inputs.texts)},
    }
    given = {name: xp.asarray(column) for name, column in taken.items()}
    given |= {name: given[name].astype(xp.DateTime64DType("us")) for name in inputs.instants}
    computed = _compute(traceable, given)
    each = spox.build(tensors, {f"f{i}": array.unwrap_spox() for i, array in enumerate(computed.values())})
    try_on_rows(each, list(computed), columns, locate(traceable.compute))
    outputs = {
        output: _join(
            [computed[name].unwrap_spox() for name in names], tensors.get(tensor), [taken[name] for name in kept]
        )
        for output, names, tensor, kept in (
            (NUMERIC, traceable.numeric, NUMBERS, inputs.numbers),
            (CATEGORICAL, traceable.categorical, TEXTS, inputs.texts),
        )
        if names
    }
    return canonicalize(spox.build(tensors, outputs))


def run_eagerly(traceable: Traceable, columns: Columns) -> dict[str, NDArray[Any]]:
    """The features of values; see `Features.eager`."""
    given = {name: _make_constant(values) for name, values in columns.items()}
    computed = {name: array.unwrap_numpy() for name, array in _compute(traceable, given).items()}
    length = len(next(iter(columns.values())))
    require_length(computed, length, locate(traceable.compute))
    # As ONNX casts: what float32 cannot hold is infinite.
    with np.errstate(over="ignore"):
        numeric = {name: computed[name].astype(np.float32) for name in traceable.numeric}
    return {**numeric, **{name: computed[name].astype(object) for name in traceable.categorical}}


def _make_constant(values: NDArray[Any]) -> Array:
    if values.dtype.kind == "M":
        return xp.asarray(values.astype("M8[us]"))
    return xp.asarray(values.astype(np.str_ if values.dtype.kind in "OU" else np.float64))


def _make_arguments(inputs: GraphInputs) -> dict[str, Var]:
    tensors = (
        (NUMBERS, np.float64, inputs.numbers),
        (INSTANTS, np.int64, inputs.instants),
        (TEXTS, np.str_, inputs.texts),
    )
    return {name: spox.argument(Tensor(kind, ("n", len(columns)))) for name, kind, columns in tensors if columns}


def _compute(traceable: Traceable, columns: Arrays) -> dict[str, Array]:
    """The features of arrays with or without values."""
    with watch_calls():
        computed = _call(traceable.compute, _Given(columns))
    if computed.keys() != {*traceable.numeric, *traceable.categorical}:
        differing = ", ".join(sorted(map(str, computed.keys() ^ {*traceable.numeric, *traceable.categorical})))
        raise ContractError(f"{locate(traceable.compute)}: declared and computed features differ: {differing}")
    for name, values in computed.items():
        if problem := _find_problem(values, is_text=name in traceable.categorical):
            raise ContractError(f"{locate(traceable.compute)}: the feature {name} is {problem}")
    return computed


def _call(compute: Compute, columns: Arrays) -> dict[str, Array]:
    try:
        return dict(compute(columns))
    except Exception as error:
        raise refuse(error, compute) from error


def _find_problem(values: object, *, is_text: bool) -> str:
    """What is wrong with a feature's kind; "" if nothing is."""
    if not isinstance(values, xp.Array):
        return f"no array but {type(values).__name__}; return an array with one value for each row"
    if values.ndim != 1:
        return f"an array of {values.ndim} dimensions; return one value for each row, an array of shape (n,)"
    kind = values.dtype
    if is_text:
        return "" if kind == xp.utf8 else f"categorical and an array of {kind}; return texts, or declare it as numeric"
    if kind == xp.bool or xp.extensions.is_numeric_dtype(kind):
        return ""
    if isinstance(kind, xp.DateTime64DType | xp.TimeDelta64DType):
        return f"numeric and an array of {kind}; return hour_of_day, year or time_between of it"
    return f"numeric and an array of {kind}; return numbers, or declare it as categorical"


def _join(features: Sequence[Var], tensor: Var | None, columns: Sequence[Var]) -> Var:
    """The matrix (n, k) of k features.

    Each array that is cast or copied by itself would cost a node: those of one type are joined first, and columns that
    are features as they are stay together.

    Args:
        tensor, columns: the input that may hold some of them, and what was taken from it.
    """
    positions = {id(column): position for position, column in enumerate(columns)}
    if tensor is not None and all(id(feature) in positions for feature in features):
        return _as_output(_choose(tensor, [positions[id(feature)] for feature in features], len(columns)))
    made: dict[np.dtype[Any], list[Var]] = {}
    for feature in features:
        if id(feature) not in positions:
            made.setdefault(feature.unwrap_tensor().dtype, []).append(feature)
    order = [feature for vectors in made.values() for feature in vectors]
    vectors = _concat([_as_output(_concat(each)) for each in made.values()])
    matrix = _turn(op.reshape(vectors, op.const([len(order), -1])))
    if tensor is not None and len(order) < len(features):
        matrix = op.concat([matrix, _as_output(tensor)], axis=1)
        order.extend(columns)
    positions = {id(feature): position for position, feature in enumerate(order)}
    return _choose(matrix, [positions[id(feature)] for feature in features], len(order))


def _choose(matrix: Var, positions: list[int], width: int) -> Var:
    """Some columns of a matrix."""
    if positions == list(range(width)):
        # An input of the graph is no output of it.
        return op.identity(matrix)
    if _is_text(matrix):
        return op.gather(matrix, op.const(positions), axis=1)
    return _turn(op.gather(_turn(matrix), op.const(positions), axis=0))


def _take(matrix: Var, position: int) -> Var:
    """A column of a matrix."""
    # onnxruntime copies a column value by value, and a row at once. Of a row of texts, 1.32 copies only the first.
    if _is_text(matrix):
        return op.gather(matrix, op.const(position), axis=1)
    return op.gather(_turn(matrix), op.const(position), axis=0)


def _as_output(values: Var) -> Var:
    is_output = values.unwrap_tensor().dtype == np.float32
    return values if is_output or _is_text(values) else op.cast(values, to=np.float32)


def _is_text(values: Var) -> bool:
    return values.unwrap_tensor().dtype.kind == "U"


def _concat(values: list[Var]) -> Var:
    return op.concat(values, axis=0) if len(values) > 1 else values[0]


def _turn(matrix: Var) -> Var:
    return op.transpose(matrix, perm=[1, 0])
