"""Features: what a model is given, and the digest of the code that makes it."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from support.flights import make_columns

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.features.features import Features
from projects.delays.model import MODEL

Write: TypeAlias = Callable[[str, str], Features]

_COLUMNS: Columns = {"a": np.array([1.0, np.nan]), "b": np.array([3.0, 4.0]), "t": np.array(["x", ""], dtype=object)}


def _compute(columns: Columns) -> Mapping[str, NDArray[Any]]:
    return {"twice": columns["a"] * 2, "sum": columns["a"] + columns["b"], "text": columns["t"]}


def test_features_stand_in_the_order_in_which_they_are_declared() -> None:
    arrays = Features(("sum", "twice"), ("text",), _compute)(_COLUMNS)
    np.testing.assert_array_equal(arrays.numeric, np.array([[4, 2], [np.nan, np.nan]], dtype=np.float32))
    assert arrays.numeric.dtype == np.float32
    assert arrays.categorical.tolist() == [["x"], [""]]
    assert arrays.categorical.dtype == object
    assert len(arrays) == 2


def test_there_may_be_numbers_alone_or_texts_alone() -> None:
    numbers = Features(("twice",), (), lambda columns: {"twice": columns["a"]})(_COLUMNS)
    texts = Features((), ("text",), lambda columns: {"text": columns["t"]})(_COLUMNS)
    assert (numbers.numeric.shape, numbers.categorical.shape) == ((2, 1), (2, 0))
    assert (texts.numeric.shape, texts.categorical.shape) == ((2, 0), (2, 1))
    assert texts.numeric.dtype == np.float32
    assert len(texts) == 2


@pytest.mark.parametrize("names", [("twice",), ("twice", "sum", "more")])
def test_features_that_are_not_those_declared_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ContractError, match=r"declared and computed features differ: (sum|more)"):
        Features(names, ("text",), _compute)(_COLUMNS)


@pytest.mark.parametrize(
    ("twice", "found"),
    [
        (np.float64(1.0), r"shape \(\) and type float64"),
        (np.array([1.0]), r"shape \(1,\)"),
        (np.ones((2, 1)), r"shape \(2, 1\)"),
        (np.array(["NaT", "2013-01-01"], dtype="M8[us]"), "type datetime64"),
        (np.array([1, 2], dtype="m8[s]"), "type timedelta64"),
        (np.array(["1", "2"]), "type <U1"),
        (np.array(["one", None], dtype=object), "type object"),
    ],
)
def test_a_feature_of_another_shape_or_type_is_refused(twice: Any, found: str) -> None:
    """Numpy would repeat one value for all rows, and turn a time into a number."""
    with pytest.raises(ContractError, match=rf"the feature twice is .*{found}.*; it must have the shape \(2,\)"):
        Features(("twice",), ("text",), lambda columns: {"twice": twice, "text": columns["t"]})(_COLUMNS)


def test_a_number_is_no_text() -> None:
    with pytest.raises(ContractError, match=r"the feature text .* type float64; .* texts if it is categorical"):
        Features((), ("text",), lambda columns: {"text": columns["a"]})(_COLUMNS)


def test_a_column_without_role_feature_is_not_available() -> None:
    with pytest.raises(ContractError, match="use the column 'label', which does not have ROLE_FEATURE"):
        Features(("twice",), (), lambda columns: {"twice": columns["label"]})(_COLUMNS)


def test_positions_count_numbers_before_texts() -> None:
    features = Features(("sum", "twice"), ("text",), _compute)
    assert features.position("text", "sum") == [2, 0]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Imports a module with the given code and makes features of its `compute`."""

    def write_module(name: str, code: str) -> Features:
        path = tmp_path / f"{name}.py"
        path.write_text(code)
        module = ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, str(path), "exec"), module.__dict__)  # noqa: S102 - our own code
        return Features(("a",), (), module.compute)

    return write_module


_CODE = "def compute(columns):\n    return {'a': columns['a'] * FACTOR}\n\nFACTOR = 2\n"


def test_the_digest_does_not_see_comments_and_layout(write: Write) -> None:
    other = _CODE.replace("\n\n", "\n\n\n# What we multiply by.\n").replace("'a'", '"a"')
    assert write("features_one", _CODE).digest == write("features_two", other).digest


def test_the_digest_sees_every_other_change_of_the_module(write: Write) -> None:
    assert write("features_one", _CODE).digest != write("features_two", _CODE.replace("= 2", "= 3")).digest


def test_the_digest_sees_names_and_their_order() -> None:
    one, two = Features(("sum", "twice"), ("text",), _compute), Features(("twice", "sum"), ("text",), _compute)
    assert one.digest != two.digest


def test_the_features_of_the_example_look_at_each_row_alone() -> None:
    columns = make_columns(60)
    whole = MODEL.features(columns)
    for row in (0, 17, 59):
        alone = MODEL.features({name: values[row : row + 1] for name, values in columns.items()})
        np.testing.assert_array_equal(alone.numeric[0], whole.numeric[row])
        assert alone.categorical[0].tolist() == whole.categorical[row].tolist()


def test_the_features_of_the_example_are_never_infinite() -> None:
    assert not np.isinf(MODEL.features(make_columns(500)).numeric).any()


def test_the_features_of_the_example_leave_missing_values_missing() -> None:
    columns = make_columns(3)
    gone = {c.name: np.full(3, np.nan) for c in MODEL.contract.columns if c.may_be_missing}
    numeric = MODEL.features({**columns, **gone}).numeric
    missing = [name for name, values in zip(MODEL.features.numeric, numeric.T, strict=True) if np.isnan(values).all()]
    assert set(missing) == {
        *("aircraft_age", "aircraft_seats", "wind_sin", "wind_cos", "temperature", "dew_point", "relative_humidity"),
        *("wind_speed", "wind_gust", "precipitation", "pressure", "visibility"),
    }


def test_the_features_of_the_example_read_the_clock_at_the_origin() -> None:
    columns = {
        **make_columns(1),
        "scheduled_departure": np.array(["2013-07-06T22:30:00"], dtype="M8[us]"),
        "aircraft_year": np.array([2003.0]),
    }
    numeric = dict(zip(MODEL.features.numeric, MODEL.features(columns).numeric[0].tolist(), strict=True))
    assert numeric["departure_hour"] == 18.5
    assert numeric["weekday"] == 5
    assert numeric["is_weekend"] == 1
    assert numeric["aircraft_age"] == 10


def test_the_features_of_the_example_see_nothing_of_the_outcome() -> None:
    columns = make_columns(5)
    seen = MODEL.features({name: values for name, values in columns.items() if name != "arrived_late"})
    np.testing.assert_array_equal(seen.numeric, MODEL.features(columns).numeric)
