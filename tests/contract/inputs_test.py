"""Feature columns in tensors, against a loop over rows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.examples import find_examples, run_example
from support.flights import make_columns
from support.protos import Toy

from athanor.contract import inputs
from athanor.contract.columns import Column, Columns
from athanor.contract.inputs import INSTANTS, NUMBERS, TEXTS, GraphInputs
from athanor.contract.v1 import options_pb2
from projects.delays.model import MODEL

_INPUTS = GraphInputs.of(MODEL.contract.columns)


def _columns_of(*features: str) -> tuple[Column, ...]:
    """The columns of a toy contract in which these and `amount` have ROLE_FEATURE."""
    toy = Toy()
    for name in features:
        toy.column(name).roles.append(options_pb2.ROLE_FEATURE)
    return toy.read().columns


def _pack_by_rows(names: tuple[str, ...], columns: Columns, dtype: Any) -> NDArray[Any]:
    rows = range(len(columns[names[0]]))
    return np.array([[columns[name][row] for name in names] for row in rows], dtype=dtype)


def test_feature_columns_are_sorted_by_kind_in_the_contracts_order() -> None:
    found = GraphInputs.of(_columns_of("at", "count", "is_new", "code", "color"))
    assert found == GraphInputs(numbers=("amount", "count", "is_new"), instants=("at",), texts=("color", "code"))


def test_columns_without_the_role_are_left_out() -> None:
    assert GraphInputs.of(_columns_of()) == GraphInputs(numbers=("amount",), instants=(), texts=())


@pytest.mark.parametrize("count", [1, 2, 100])
def test_tensors_hold_the_values_row_by_row(count: int) -> None:
    columns = make_columns(count)
    packed = _INPUTS.pack(columns)
    np.testing.assert_array_equal(packed[NUMBERS], _pack_by_rows(_INPUTS.numbers, columns, np.float64))
    np.testing.assert_array_equal(packed[INSTANTS], _pack_by_rows(_INPUTS.instants, columns, "M8[us]").astype(np.int64))
    np.testing.assert_array_equal(packed[TEXTS], _pack_by_rows(_INPUTS.texts, columns, np.object_))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tensors_have_the_types_that_onnxruntime_takes_and_contiguous_rows(count: int) -> None:
    packed = _INPUTS.pack({name: values[:count] for name, values in make_columns(2).items()})
    assert {name: tensor.dtype.kind for name, tensor in packed.items()} == {NUMBERS: "f", INSTANTS: "i", TEXTS: "O"}
    assert {name: tensor.shape[0] for name, tensor in packed.items()} == dict.fromkeys(packed, count)
    assert all(tensor.flags.c_contiguous for tensor in packed.values())


def test_missing_values_stay_missing() -> None:
    packed = GraphInputs(numbers=("a", "b"), instants=("t",), texts=("x", "y")).pack(
        {
            "a": np.array([np.nan]),
            "b": np.array([-np.inf]),
            "t": np.array(["NaT"], dtype="M8[us]"),
            "x": np.array([""], dtype=object),
            "y": np.array(["ü\0"], dtype=object),
        }
    )
    np.testing.assert_array_equal(packed[NUMBERS], [[np.nan, -np.inf]])
    assert packed[INSTANTS].tolist() == [[-(2**63)]]
    assert packed[TEXTS].tolist() == [["", "ü\0"]]


def test_a_tensor_without_columns_is_absent() -> None:
    columns = {"a": np.array([1.0, 2.0])}
    packed = GraphInputs(numbers=("a",), instants=(), texts=()).pack(columns)
    assert packed.keys() == {NUMBERS}
    assert packed[NUMBERS].tolist() == [[1.0], [2.0]]


def test_the_columns_given_stay_as_they_are() -> None:
    columns = {"a": np.array([1.0])}
    GraphInputs(numbers=("a",), instants=(), texts=()).pack(columns)[NUMBERS][0, 0] = 2.0
    assert columns["a"].tolist() == [1.0]


def test_an_absent_column_is_named() -> None:
    with pytest.raises(KeyError, match="carrier"):
        _INPUTS.pack({name: values for name, values in make_columns(1).items() if name != "carrier"})


def test_the_example_runs() -> None:
    (example,) = find_examples(inputs)
    run_example(example)
