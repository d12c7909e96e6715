"""Leakage of labels that are categories or numbers: on the scale of the ROC curve's area, by independent formulas."""

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import somersd
from sklearn.metrics import roc_auc_score
from support.properties import PROPERTY
from support.protos import Toy
from support.toys import CATEGORIES, make_columns, with_categories, with_number

from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.checks.leakage import concordance_error, has_enough_rows, measure_separations, standard_error

_ROWS: Final = 4_000
_FEATURES: Final = ("amount", "count", "color", "code", "is_new")


def _read(toy: Toy) -> Contract:
    """A contract in which every column but the key is a feature."""
    for name in ("at", "count", "color", "code", "is_new"):
        toy.column(name).roles.append(options_pb2.ROLE_FEATURE)
    return toy.read()


_FRUIT: Final = _read(with_categories(Toy()))
_PRICE: Final = _read(with_number(Toy()))
_COUNT: Final = _read(with_number(Toy(), "uint32", maximum=9))


def _texts(values: Any) -> NDArray[Any]:
    return np.array([str(value) for value in values], dtype=object)


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from(CATEGORIES), st.sampled_from([-1.0, 0.0, 2.0, np.nan])), min_size=3))
def test_of_categories_the_one_that_is_told_best_counts(rows: list[tuple[str, float]]) -> None:
    labels, values = np.array([row[0] for row in rows], dtype=object), np.array([row[1] for row in rows])
    columns = {**make_columns(_FRUIT, len(rows)), "fruit": labels, "amount": values}
    found = measure_separations(_FRUIT, columns)
    if len(set(labels)) == 1:
        assert found == {}
        return
    areas = {}
    for category in sorted(set(labels)):
        area = roc_auc_score(labels == category, np.nan_to_num(values, nan=-100.0))
        areas[category] = max(area, 1 - area)
    assert found["amount"].area == pytest.approx(areas[found["amount"].category], abs=1e-9)
    count = int((labels == found["amount"].category).sum())
    assert found["amount"].error == standard_error(found["amount"].area, count, len(rows) - count)


@PROPERTY
@given(
    st.lists(st.tuples(st.sampled_from([1.0, 2.0, 2.5, 7.0]), st.sampled_from([-1.0, 0.0, 2.0, np.nan])), min_size=2)
)
def test_of_numbers_the_concordance_counts(rows: list[tuple[float, float]]) -> None:
    labels, values = (np.array(part) for part in zip(*rows, strict=True))
    found = measure_separations(_PRICE, {**make_columns(_PRICE, len(rows)), "price": labels, "amount": values})
    if len(set(labels)) == 1:
        assert found == {}
        return
    pairs = [(a, b) for a in range(len(rows)) for b in range(a) if labels[a] != labels[b]]
    filled = np.nan_to_num(values, nan=-100.0)
    agreeing = sum(np.sign(filled[a] - filled[b]) * np.sign(labels[a] - labels[b]) for a, b in pairs)
    concordance = 0.5 + agreeing / len(pairs) / 2
    assert found["amount"].area == pytest.approx(max(concordance, 1 - concordance), abs=1e-9)
    assert found["amount"].is_of_numbers


def test_the_concordance_of_two_numbers_is_that_of_another_library() -> None:
    random = np.random.default_rng(4)
    columns = make_columns(_COUNT, 400)
    columns["amount"] = np.round(columns["price"] + random.normal(0, 3, 400)).clip(0, 9)
    expected = 0.5 + abs(somersd(columns["price"], columns["amount"]).statistic) / 2
    assert measure_separations(_COUNT, columns)["amount"].area == pytest.approx(expected, abs=1e-9)


def test_two_numbers_as_labels_have_the_area_of_a_truth_value() -> None:
    """The scale is one, whatever the kind of the label."""
    binary = _read(Toy())
    columns = make_columns(binary, _ROWS)
    columns["amount"] += columns["won"]
    as_numbers = {**columns, "price": columns["won"]}
    area = measure_separations(binary, columns)["amount"].area
    assert measure_separations(_PRICE, as_numbers)["amount"].area == pytest.approx(area, abs=1e-9)


def _leaks_of_fruit(labels: NDArray[Any]) -> dict[str, tuple[str, NDArray[Any]]]:
    random, is_plum = np.random.default_rng(3), labels == "plum"
    codes = np.array([CATEGORIES.index(label) for label in labels], dtype=np.float64)
    return {
        "as a code": ("amount", codes),
        "as one category": ("is_new", is_plum.astype(np.float64)),
        "as text": ("color", _texts(f"it is {label}" for label in labels)),
        "as many texts": ("code", _texts(random.integers(0, 40, len(labels)) * 3 + codes)),
        "as missingness of one": ("count", np.where(is_plum, np.nan, 1.0)),
    }


@pytest.mark.parametrize("how", list(_leaks_of_fruit(np.array(["plum"], dtype=object))))
def test_a_category_in_a_column_is_found(how: str) -> None:
    columns = make_columns(_FRUIT, _ROWS)
    name, values = _leaks_of_fruit(columns["fruit"])[how]
    found = measure_separations(_FRUIT, {**columns, name: values})
    assert tuple(found) == _FEATURES
    assert [feature for feature, one in found.items() if one.area - 3 * one.error > 0.9] == [name]


def _leaks_of_price(prices: NDArray[Any]) -> dict[str, tuple[str, NDArray[Any]]]:
    random = np.random.default_rng(3)
    return {
        "copied": ("amount", prices),
        "negated and bent": ("amount", -np.exp(prices / 50)),
        "with noise": ("amount", prices + random.normal(0, 5, len(prices))),
        "as text": ("code", _texts(np.floor(prices / 5))),
    }


@pytest.mark.parametrize("how", list(_leaks_of_price(np.zeros(1))))
def test_a_number_in_a_column_is_found(how: str) -> None:
    columns = make_columns(_PRICE, _ROWS)
    name, values = _leaks_of_price(columns["price"])[how]
    found = measure_separations(_PRICE, {**columns, name: values})
    assert tuple(found) == _FEATURES
    assert [feature for feature, one in found.items() if one.area - 3 * one.error > 0.9] == [name]


@pytest.mark.parametrize("contract", [_FRUIT, _PRICE, _COUNT], ids=["categories", "number", "count"])
@pytest.mark.parametrize("seed", range(3))
def test_honest_columns_are_not_accused(contract: Contract, seed: int) -> None:
    columns = make_columns(contract, _ROWS, seed)
    columns["code"] = _texts(np.random.default_rng(seed).integers(0, 1_500, _ROWS))
    found = measure_separations(contract, columns)
    assert all(0.5 <= one.area < 0.55 for one in found.values()), found


def test_with_a_dozen_rows_nothing_can_be_told() -> None:
    columns = make_columns(_FRUIT, 12)
    columns["amount"] = (columns["fruit"] == "plum").astype(np.float64)
    assert measure_separations(_FRUIT, columns)["amount"].error == np.inf
    prices = make_columns(_PRICE, 12)
    prices["amount"] = prices["price"]
    assert measure_separations(_PRICE, prices)["amount"].error == np.inf


@pytest.mark.parametrize(
    ("contract", "labels", "expected"),
    [
        (_FRUIT, ["pear"] * 10 + ["plum"] * 10, True),
        (_FRUIT, ["pear"] * 100 + ["plum"] * 9, False),
        (_FRUIT, ["pear"] * 100 + ["plum"] * 9 + ["apple"] * 9, True),
        (_PRICE, [0.0] * 10 + [1.0] * 10, False),
        (_PRICE, [0.0] * 20 + [1.0] * 20, True),
        (_PRICE, [float(price) for price in range(20)], True),
        (_PRICE, [3.0], False),
    ],
)
def test_it_is_known_whether_there_are_enough_rows(contract: Contract, labels: list[Any], expected: bool) -> None:
    """As whether a column that copies the label has a finite error."""
    values = np.array(labels, dtype=contract.label.dtype)
    assert has_enough_rows(contract.label, values) is expected
    columns = {**make_columns(contract, len(labels)), contract.label.name: values}
    columns["amount"] = np.unique(values, return_inverse=True)[1].astype(np.float64)
    found = measure_separations(contract, columns)
    assert any(np.isfinite(one.error) for one in found.values()) is expected


def test_a_constant_column_tells_no_number() -> None:
    columns = {**make_columns(_PRICE, _ROWS), "amount": np.full(_ROWS, np.nan)}
    assert measure_separations(_PRICE, columns)["amount"].area == 0.5


@pytest.mark.parametrize("zeros", [0.0, 0.9])
@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_concordances_scatter_by_no_more_than_their_error(zeros: float, noise: float) -> None:
    """Also where most labels are the same, as in many counts."""
    random = np.random.default_rng(9)
    areas, errors = [], []
    for _ in range(200):
        columns = make_columns(_PRICE, 300)
        columns["price"] = np.where(random.uniform(size=300) < zeros, 0.0, random.normal(size=300))
        columns["amount"] = columns["price"] + random.normal(0, noise, 300)
        found = measure_separations(_PRICE, columns)["amount"]
        areas.append(found.area)
        errors.append(found.error)
    assert np.std(areas) < np.mean(errors) < 5 * np.std(areas)


def test_the_error_of_a_concordance_is_hoeffdings_bound() -> None:
    assert concordance_error(0.0, 200) == pytest.approx(np.sqrt(2 / 200) / 2)
    assert concordance_error(1.0, 20) == 0
    assert concordance_error(1.0, 19) == np.inf
