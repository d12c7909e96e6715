"""What cannot be traced is refused with the function, the line and what to write instead."""

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.graphs import make_columns

from athanor.errors import ContractError
from athanor.features.arrays import Arrays, xp
from athanor.features.features import Features
from athanor.features.numbers import bins, clip, cyclic
from athanor.features.texts import join, look_up, normalize
from athanor.features.times import hour_of_day, time_between, to_local_time

_COLUMNS = make_columns()
# Of types that mypy would refuse.
_WEEKS: Any = "weeks"
_DASH: Any = "-"


def _refuse(compute: Callable[[Any], Any], name: str = "f") -> str:
    with pytest.raises(ContractError) as refusal:
        Features((name,), (), lambda columns: {name: compute(columns)}).trace(_COLUMNS)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("compute", "remedy"),
    [
        (lambda c: np.log(c["x"]), "numpy computes values, and a traced array has none yet: write xp.log"),
        (lambda c: np.where(c["x"] > 3, 1.0, 0.0), "write xp.where"),
        (lambda c: np.maximum(c["x"], 0), "write xp.maximum"),
        (lambda c: np.clip(c["x"], 0, 1), "write xp.clip"),
        (lambda c: np.sum(c["x"]), "write xp.sum"),
        (lambda c: np.nan_to_num(c["x"]), "write xp.where(xp.isnan(x), value, x)"),
        (lambda c: np.nan_to_num(c["x"]) * 2, "write xp.where(xp.isnan(x), value, x)"),
        (lambda c: xp.full_like(c["x"], float(pd.isna(c["x"]))), "write is_missing of athanor.features.numbers"),
        (lambda c: np.char.lower(c["s"]), "the helpers of athanor.features"),
        (lambda c: pd.Series(c["x"]), "pandas computes values"),
        (lambda c: math.sin(c["x"]), "math computes values, and a traced array has none yet: write xp.sin"),
        (lambda c: 1.0 if c["x"] > 3 else 2.0, "write xp.where(condition, a, b)"),
        (lambda c: c["x"] > 3 and c["y"] < 4, "Python's if, and, or, not, in, min and max ask for one value"),
        (lambda c: max(c["x"], c["y"]), "xp.maximum"),
        (lambda c: c["s"] in ("JFK", "LGA"), "Python's if, and, or, not, in, min and max"),
        (lambda c: float(c["x"]), "an array of all rows is no single number"),
        (lambda c: int(c["x"]), "an array of all rows is no single number"),
        (lambda c: [value * 2 for value in c["x"]], "instead of a loop over rows"),
        (lambda c: [c["x"][row] for row in range(len(c["x"]))], "instead of a loop over rows"),
        (lambda c: [c["x"][row] for row in range(c["x"].shape[0])], "instead of a loop over rows"),
        (lambda c: c["t"].astype("M8[D]"), "athanor.features.times has parts of instants"),
        (lambda c: c["x"].astype(np.float32), "give a type of xp"),
        (lambda c: c["t"] > datetime(2013, 1, 1), "write an instant as np.datetime64"),  # noqa: DTZ001
        (lambda c: c["t"].year, "athanor.features.times has to_local_time"),
        (lambda c: c["t"].dt.hour, "athanor.features.times has to_local_time"),
        (lambda c: c["s"].lower(), "athanor.features.texts has normalize"),
        (lambda c: c["s"].str.strip(), "athanor.features.texts has normalize"),
        (lambda c: c["x"].fillna(0), "write xp.where(xp.isnan(x), value, x)"),
        (lambda c: c["x"].rolling(3), "with the helpers of athanor.features"),
        (lambda c: {0.0: 1.0}[c["x"]], "with the helpers of athanor.features"),
    ],
)
def test_what_needs_values_is_refused_with_the_way_to_write_it(compute: Callable[[Any], Any], remedy: str) -> None:
    refusal = _refuse(compute)
    line = inspect.getsourcelines(compute)[1]
    assert refusal.startswith(f"{__file__}:{line}, in ")
    assert "cannot be traced" in refusal
    assert remedy in refusal


def _scale(values: Any) -> Any:
    return np.log1p(values)


def test_the_line_is_that_of_the_function_which_was_called() -> None:
    refusal = _refuse(lambda columns: _scale(columns["x"]))
    line = inspect.getsourcelines(_scale)[1] + 1
    assert refusal.startswith(f"{__file__}:{line}, in _scale: np.log1p(values) cannot be traced")


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        (lambda c: to_local_time(c["t"], "New York"), "the time zone 'New York' is unknown"),
        (lambda c: hour_of_day(c["x"]), "an array of instants, datetime64[us] is needed; this is an array of float64"),
        (lambda c: time_between(c["t"], c["u"], _WEEKS), "the unit 'weeks' is unknown; give 's', 'min', 'h', 'd'"),
        (lambda c: cyclic(c["s"], 24)[0], "an array of numbers is needed; this is an array of utf8"),
        (lambda c: cyclic(c["x"], 0)[0], "cyclic needs a finite period above zero; this is 0"),
        (lambda c: clip(c["x"], 1, 0), "clip needs finite bounds, the lower one first; these are 1 and 0"),
        (lambda c: clip(c["x"], 0, math.inf), "clip needs finite bounds"),
        (lambda c: bins(c["x"], []), "bins needs finite edges in ascending order, at least one"),
        (lambda c: bins(c["x"], [1, 1]), "bins needs finite edges in ascending order"),
        (lambda c: bins(c["x"], [math.nan]), "bins needs finite edges in ascending order"),
        (lambda c: join(), "join needs at least one array of texts"),
        (lambda c: join(c["s"], _DASH), "an array of texts is needed; this is str: '-'"),
        (lambda c: normalize(c["x"]), "an array of texts is needed; this is an array of float64"),
        (lambda c: look_up(c["s"], {}), "the keys of the table of look_up must be all texts or all numbers"),
        (lambda c: look_up(c["s"], {"a": 1, "b": "c"}), "the values and the default of the table of look_up"),
        (
            lambda c: look_up(c["s"], {"a": 1}, default="c"),
            "the values and the default of the table of look_up",
        ),
        (lambda c: look_up(c["s"], {"": 1}), "a key of the table of look_up is missing"),
        (lambda c: look_up(c["x"], {math.nan: 1}), "a key of the table of look_up is missing"),
        (lambda c: look_up(c["x"], {"a": 1}), "an array of texts is needed; this is an array of float64"),
        (
            lambda c: c["won"],
            "the column 'won', which does not have ROLE_FEATURE; those that do: x, y",
        ),
    ],
)
def test_what_a_helper_or_a_contract_does_not_allow_is_refused_at_its_line(
    compute: Callable[[Any], Any], problem: str
) -> None:
    refusal = _refuse(compute)
    assert refusal.startswith(f"{__file__}:{inspect.getsourcelines(compute)[1]}, in <lambda>: ")
    assert problem in refusal


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        (lambda c: 1.0, "no array but float; return an array with one value for each row"),
        (lambda c: np.asarray([1.0]), "no array but ndarray"),
        (lambda c: c["t"] == datetime(2013, 1, 1), "no array but bool"),  # noqa: DTZ001
        (lambda c: xp.mean(c["x"]), "an array of 0 dimensions; return one value for each row"),
        (lambda c: c["x"][0], "an array of 0 dimensions"),
        (lambda c: xp.stack([c["x"], c["y"]]), "an array of 2 dimensions"),
        (lambda c: xp.asarray(np.array([1.0])), "has 1 values for 7 rows; return one for each row"),
        (
            lambda c: c["x"][c["x"] > 3],
            "for 7 rows; return one for each row: a constant is xp.full_like(column, value)",
        ),
        (lambda c: xp.concat([c["x"], c["y"]]), "has 14 values for 7 rows"),
        (lambda c: c["t"], "array of datetime64[us]; return hour_of_day, year or time_between of it"),
        (
            lambda c: c["t"] - c["u"],
            "array of timedelta64[us]; return hour_of_day, year or time_between of it",
        ),
        (lambda c: c["s"], "numeric and an array of utf8; return numbers, or declare it as categorical"),
        (lambda c: c["x"] - xp.mean(c["x"]), "of a row depends on the other rows"),
        (lambda c: xp.sort(c["x"]), "of a row depends on the other rows"),
        (lambda c: xp.cumulative_sum(c["x"]), "of a row depends on the other rows"),
        (lambda c: xp.flip(c["x"]), "of a row depends on the other rows"),
    ],
)
def test_what_is_not_one_value_for_each_row_by_itself_is_refused(compute: Callable[[Any], Any], problem: str) -> None:
    refusal = _refuse(compute, "rate")
    assert "refusals_test.py:" in refusal
    assert ": the feature rate " in refusal
    assert problem in refusal


def test_a_number_is_no_text() -> None:
    with pytest.raises(ContractError, match="f is categorical and an array of float64; return texts, or declare"):
        Features((), ("f",), lambda columns: {"f": columns["x"]}).trace(_COLUMNS)


@pytest.mark.parametrize("names", [("twice",), ("twice", "sum", "more")])
def test_features_that_are_not_those_declared_are_refused(names: tuple[str, ...]) -> None:
    def compute(columns: Arrays) -> Arrays:
        return {"twice": columns["x"] * 2, "sum": columns["x"] + columns["y"]}

    with pytest.raises(ContractError, match=r"in compute: declared and computed features differ: (sum|more)$"):
        Features(names, (), compute).trace(_COLUMNS)


@pytest.mark.parametrize("returned", [None, [1.0]])
def test_what_is_no_mapping_is_refused(returned: Any) -> None:
    with pytest.raises(ContractError, match=r"refusals_test\.py"):
        Features(("f",), (), lambda columns: returned).trace(_COLUMNS)


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"x": np.array([1.0, 2.0])}, "has 1 values for 2 rows"), ({"y": np.array([1.0])}, "use the column 'x'")],
)
def test_values_are_refused_as_traced_arrays_are(values: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        Features(("f",), (), lambda columns: {"f": columns["x"][:1]}).eager(values)
