"""Columns that know the label are found, however they know it, and honest ones are not accused."""

import tracemalloc
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from support.properties import PROPERTY
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.checks.leakage import measure_separations, standard_error

_ROWS: Final = 10_000
_BUDGET: Final = 0.95
_FEATURES: Final = ("amount", "count", "color", "code", "is_new")


def _contract() -> Contract:
    """One in which all is a feature but the key."""
    toy = Toy()
    for name in ("at", "count", "color", "code", "is_new"):
        toy.column(name).roles.append(options_pb2.ROLE_FEATURE)
    return toy.read()


_CONTRACT: Final = _contract()


def _columns(labels: NDArray[Any], **given: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Rows of which no column knows the label, but for those given."""
    random, rows = np.random.default_rng(7), len(labels)
    return {
        "at": np.arange(rows).astype("M8[m]").astype("M8[us]"),
        "id": 1.0 + np.arange(rows),
        "amount": random.uniform(0, 9, rows),
        "count": random.integers(0, 5, rows).astype(np.float64),
        "color": random.choice(np.array(["red", "green"], dtype=object), rows),
        "code": random.choice(np.array(["A", "B", ""], dtype=object), rows),
        "is_new": random.integers(0, 2, rows).astype(np.float64),
        "won": labels.astype(np.float64),
        **given,
    }


def _labels(seed: int = 0, rows: int = _ROWS, rate: float = 0.2) -> NDArray[Any]:
    return (np.random.default_rng(seed).uniform(size=rows) < rate).astype(np.float64)


def _texts(values: Any) -> NDArray[Any]:
    return np.array([str(value) for value in values], dtype=object)


_SCORES: Final = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0, 9.0, np.nan]), st.booleans()), min_size=2)


@PROPERTY
@given(_SCORES.filter(lambda rows: len({label for _, label in rows}) == 2))
def test_the_auc_of_a_number_equals_that_of_two_other_libraries(rows: list[tuple[float, bool]]) -> None:
    """Ties and missing values too, which count as smaller than all others."""
    values, labels = (np.array(part) for part in zip(*rows, strict=True))
    score = np.nan_to_num(values, nan=-100.0)
    area = roc_auc_score(labels, score)
    rank_sum = mannwhitneyu(score[labels], score[~labels]).statistic / (labels.sum() * (~labels).sum())
    assert area == pytest.approx(rank_sum, abs=1e-9)
    found = _areas(_CONTRACT, _columns(labels, amount=values))["amount"]
    assert found == pytest.approx(max(area, 1 - area), abs=1e-9)


def _areas(contract: Contract, values: Columns) -> dict[str, float]:
    return {name: found.area for name, found in measure_separations(contract, values).items()}


def _leaks(labels: NDArray[Any]) -> dict[str, tuple[str, NDArray[Any]]]:
    """How the label may find its way into a column."""
    random, is_won = np.random.default_rng(3), labels == 1
    any_text = random.choice(np.array(["A", "B", "C"], dtype=object), len(labels))
    alternating = np.resize(np.array(["A", "B"], dtype=object), len(labels))
    return {
        "copied": ("amount", labels),
        "negated": ("amount", 1 - labels),
        "with noise": ("amount", labels + random.normal(0, 0.25, len(labels))),
        "as a whole number": ("count", 3 + 2 * labels),
        "as a truth value": ("is_new", labels),
        "negated as a truth value": ("is_new", 1 - labels),
        "as text": ("color", np.where(is_won, "lost", "won").astype(object)),
        "as many texts": ("code", _texts(random.integers(0, 50, len(labels)) * 2 + labels)),
        "with a text that alternates": ("code", alternating + np.where(is_won, "1", "0").astype(object)),
        "as missingness": ("amount", np.where(is_won, np.nan, random.uniform(0, 9, len(labels)))),
        "as presence": ("count", np.where(is_won, 4.0, np.nan)),
        "as missingness of a text": ("code", np.where(is_won, "", any_text)),
    }


@pytest.mark.parametrize("how", list(_leaks(_labels(rows=2))))
def test_a_label_in_a_column_is_found(how: str) -> None:
    labels = _labels()
    name, values = _leaks(labels)[how]
    found = _areas(_CONTRACT, _columns(labels, **{name: values}))
    assert [feature for feature, area in found.items() if area > _BUDGET] == [name]


def test_a_label_in_texts_of_which_each_is_rare_is_found() -> None:
    """Four rows each: one that the other half does not have stands between those that it has."""
    random, labels = np.random.default_rng(1), _labels(rate=0.5)
    codes = np.where(labels == 1, random.integers(0, 1_250, _ROWS), random.integers(1_250, 2_500, _ROWS))
    assert _areas(_CONTRACT, _columns(labels, code=_texts(codes)))["code"] > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_honest_columns_are_not_accused(seed: int) -> None:
    found = _areas(_CONTRACT, _columns(_labels(seed)))
    assert tuple(found) == _FEATURES
    assert all(0.5 <= area < 0.53 for area in found.values()), found


@pytest.mark.parametrize("categories", [4_000, 40_000])
@pytest.mark.parametrize("seed", range(5))
def test_texts_of_many_categories_are_not_accused_for_being_rare(categories: int, seed: int) -> None:
    """The rate among all rows that have a text would know the label of each of them."""
    labels = _labels(seed)
    codes = np.random.default_rng(100 + seed).integers(0, categories, _ROWS)
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    naive = np.bincount(inverse, weights=labels)[inverse] / counts[inverse]
    assert roc_auc_score(labels, naive) > 0.8
    assert _areas(_CONTRACT, _columns(labels, code=_texts(codes)))["code"] < 0.55


def test_a_text_unique_to_each_row_predicts_nothing() -> None:
    found = _areas(_CONTRACT, _columns(_labels(), code=_texts(range(_ROWS))))
    assert found["code"] == 0.5


def test_a_constant_column_predicts_nothing() -> None:
    same = {"amount": np.full(_ROWS, np.nan), "code": np.full(_ROWS, "", dtype=object), "is_new": np.ones(_ROWS)}
    found = _areas(_CONTRACT, _columns(_labels(), **same))
    assert [found[name] for name in same] == pytest.approx([0.5] * 3, abs=0.02)


def test_a_predictive_text_has_its_expected_auc() -> None:
    """Three rates; the area that a classifier would have which knew them."""
    random = np.random.default_rng(5)
    codes = random.integers(0, 3, _ROWS)
    rates = np.array([0.1, 0.5, 0.8])[codes]
    labels = (random.uniform(size=_ROWS) < rates).astype(np.float64)
    found = _areas(_CONTRACT, _columns(labels, code=_texts(codes)))["code"]
    assert found == pytest.approx(roc_auc_score(labels, rates), abs=0.02)


def test_only_features_are_looked_at_and_no_timestamps() -> None:
    toy, labels = Toy(), _labels()
    leaking = _columns(labels, code=_texts(labels), at=np.where(labels == 1, 1, 0).astype("M8[us]"))
    assert list(_areas(toy.read(), leaking)) == ["amount"]
    assert "at" not in _areas(_CONTRACT, leaking)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_constant_label_gives_no_auc(label: float) -> None:
    assert _areas(_CONTRACT, _columns(np.full(10, label))) == {}


def test_it_answers_the_same_every_time() -> None:
    columns = _columns(_labels(), code=_texts(np.random.default_rng(2).integers(0, 4_000, _ROWS)))
    assert _areas(_CONTRACT, columns) == _areas(_CONTRACT, columns)


def test_the_standard_error_matches_the_paper() -> None:
    """Hanley and McNeil 1982: 51 abnormal images, 58 normal ones, an area of 0.893."""
    assert standard_error(0.893, trues=51, falses=58) == pytest.approx(0.032, abs=6e-4)


@pytest.mark.parametrize(("trues", "falses"), [(10, 10), (20, 500), (4_000, 7)])
def test_the_standard_error_of_chance_matches_the_mann_whitney_statistic(trues: int, falses: int) -> None:
    expected = np.sqrt((trues + falses + 1) / (12 * trues * falses)) if falses >= 10 else np.inf
    assert standard_error(0.5, trues, falses) == pytest.approx(expected, rel=1e-12)


def test_aucs_scatter_by_their_standard_error() -> None:
    """Exponential scores, for which the formula holds: trues four times as large have an area of 0.8."""
    random = np.random.default_rng(9)
    labels = np.arange(240) < 80
    areas = []
    for _ in range(1_000):
        scores = random.exponential(np.where(labels, 4.0, 1.0))
        areas.append(_areas(_CONTRACT, _columns(labels, amount=scores))["amount"])
    assert np.mean(areas) == pytest.approx(0.8, abs=0.01)
    assert np.std(areas) == pytest.approx(standard_error(0.8, trues=80, falses=160), rel=0.1)


def test_an_area_of_one_has_no_error_where_there_are_enough_rows() -> None:
    assert standard_error(1.0, trues=10, falses=10) == 0
    assert standard_error(1.0, trues=9, falses=1_000) == np.inf


def test_one_long_text_takes_no_more_memory_than_itself() -> None:
    """An array of numpy's own texts would take 80 kB for each of the 10,000 rows."""
    columns = _columns(_labels(), code=_texts(np.arange(_ROWS) % 7))
    before = _areas(_CONTRACT, columns)
    columns["code"][0] = "x" * 20_000
    tracemalloc.start()
    try:
        after = _areas(_CONTRACT, columns)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20
    assert after["code"] == pytest.approx(before["code"], abs=1e-3)
