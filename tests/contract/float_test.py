"""A `float` column has 32 bits everywhere: its values, its bounds, and what is written about them."""

from typing import Any, Final

import numpy as np
import pytest
from google.protobuf.message_factory import GetMessageClass
from support.protos import Toy, make_field

from athanor.contract.columns import Column
from athanor.contract.contract import Contract
from athanor.contract.evolution.compatibility import compare
from athanor.contract.messages import to_columns, to_messages
from athanor.contract.validation import validate
from athanor.errors import ContractError

# Some are more, some less than their 32 bits.
_DECIMALS: Final = (0.1, 0.3, 0.7, 1.1, -0.3, 16_777_217.0, 1e-3, 123_456.789)


def _toy(**options: Any) -> Contract:
    toy = Toy()
    toy.row.field.append(make_field("ratio", 8, "float", description="A share", **options))
    return toy.read()


def _ratio(**options: Any) -> Column:
    return _toy(**options).column("ratio")


@pytest.mark.parametrize("bound", _DECIMALS)
@pytest.mark.parametrize("rows", [1, 20, 2_000])
def test_a_message_may_hold_the_bound(bound: float, rows: int) -> None:
    contract = _toy(minimum=bound, maximum=bound)
    row_class: Any = GetMessageClass(contract.row)
    column = contract.column("ratio")
    values = to_columns([column], [row_class(ratio=bound)] * rows)
    assert validate([column], values) == ()
    for other in (np.nextafter(np.float32(bound), np.float32(9e9)), np.nextafter(np.float32(bound), np.float32(-9e9))):
        (breach,) = validate([column], to_columns([column], [row_class(ratio=float(other))] * rows))
        assert len(breach.rows) == rows


@pytest.mark.parametrize("number", _DECIMALS)
def test_rounded_values_are_those_of_messages(number: float) -> None:
    column = _ratio(may_be_missing=True)
    values = {"ratio": np.array([number, np.nan, np.inf])}
    row_class: Any = GetMessageClass(_toy(may_be_missing=True).row)
    (read,) = to_columns([column], to_messages([column], values, row_class)).values()
    np.testing.assert_array_equal(column.round(values["ratio"]), read)
    assert column.round(values["ratio"]).dtype == np.float64


def test_a_number_beyond_32_bits_is_infinite() -> None:
    (breach,) = validate([_ratio()], {"ratio": _ratio().round(np.array([1e39]))})
    assert breach.rule.value == "FINITE"


def test_other_columns_keep_64_bits() -> None:
    amount = _toy().column("amount")
    assert amount.round(np.array([0.3])).tolist() == [0.3]
    assert not amount.is_32_bit


def test_messages_show_decimal_numbers() -> None:
    column = _ratio(minimum=0.1, maximum=0.3)
    assert (column.minimum, column.maximum) == (0.10000000149011612, 0.30000001192092896)
    assert column.allowed == "a number from 0.1 to 0.3"
    (breach,) = validate([column], {"ratio": column.round(np.array([0.31]))})
    assert str(breach.violation(0)) == "0.31 is not allowed (MAXIMUM); give a number from 0.1 to 0.3"


def test_a_reader_that_does_not_round_may_give_the_bound() -> None:
    for bound in (0.1, 0.3, 0.7, 1.1, -0.3, 1e-3, 12_345.67):
        lowest, highest = _ratio(minimum=bound, maximum=bound).decimal_bounds
        held = float(np.float32(bound))
        assert lowest <= min(bound, held) <= max(bound, held) <= highest


def test_bounds_that_are_the_same_in_32_bits_are_the_same_promise() -> None:
    old, new = (_toy(minimum=low, maximum=high) for low, high in ((0.1, 0.3), (0.10000000149011612, 0.3000000119)))
    assert old.wire["row_columns"]["ratio"]["maximum"] == 0.3
    assert old.fingerprint == new.fingerprint
    assert compare(old.wire, new.wire) == ()


def test_bounds_may_meet_in_32_bits() -> None:
    column = _ratio(minimum=0.3, maximum=0.30000001)
    assert column.minimum == column.maximum


@pytest.mark.parametrize(("bound", "held"), [(1e39, "inf"), (-1e39, "-inf"), (1e-50, "0")])
@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_a_bound_that_32_bits_cannot_hold_is_refused(name: str, bound: float, held: str) -> None:
    with pytest.raises(ContractError, match=rf"toy\.v1\.Row\.ratio: {name} .* is {held} in a float's 32 bits; give"):
        _ratio(**{name: bound})


@pytest.mark.parametrize("bound", [float("inf"), float("nan")])
def test_an_infinite_bound_is_refused_as_for_a_double(bound: float) -> None:
    with pytest.raises(ContractError, match="must be finite"):
        _ratio(maximum=bound)
