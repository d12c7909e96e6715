"""Charts of numbers and of categories match what is predicted; a chart that cannot be drawn is left out."""

import re
from typing import Final
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from athanor.training.card.category_charts import count_pairs, draw_confusion
from athanor.training.card.number_charts import Numbers, bin_numbers, draw_coverage, draw_errors, draw_observed

_CATEGORIES: Final = ("Adelie", "Chinstrap", "Gentoo")


def _numbers(count: int = 2_000) -> Numbers:
    """Outcomes of which the model knows most, with intervals that hold nine of ten."""
    random = np.random.default_rng(0)
    true = random.gamma(3, 100, count)
    labels = true + random.normal(0, 20, count)
    width = 20 * 1.645
    return Numbers(labels, true, np.full(count, labels.mean()), true - width, true + width)


def _parse(drawn: str) -> ET.Element:
    return ET.fromstring(drawn)  # noqa: S314 - drawn just now


def _description(drawn: str) -> str:
    return _parse(drawn).findtext("desc") or ""


def test_bins_hold_equal_counts_and_every_row_once() -> None:
    values = np.random.default_rng(0).normal(size=1_000)
    bins = bin_numbers(values)
    assert [len(rows) for rows in bins] == [100] * 10
    assert sorted(np.concatenate(bins)) == list(range(1_000))
    assert [len(rows) for rows in bin_numbers(np.zeros(7))] == [7]


def test_the_observed_means_are_those_of_the_bins() -> None:
    numbers = _numbers()
    first = np.argsort(numbers.ours)[:200]
    expected = f"predicted {numbers.ours[first].mean():.4g}, observed {numbers.labels[first].mean():.4g};"
    assert _description(draw_observed(numbers)).startswith(expected)


def test_errors_are_described_by_their_medians() -> None:
    numbers = _numbers()
    error = np.median(numbers.labels - numbers.ours)
    assert f"median error of the model is {error:.4g}" in _description(draw_errors(numbers))


def test_coverage_is_the_share_within_each_bin() -> None:
    numbers = _numbers()
    found = [
        float(share) / 100 for share in re.findall(r"within ([\d.]+)\s?%", _description(draw_coverage(numbers, 0.9)))
    ]
    assert len(found) == 11
    assert np.mean(found[1:]) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows_give_a_chart_or_none(count: int) -> None:
    numbers = _numbers(count) if count else Numbers(*[np.empty(0)] * 5)
    for drawn in (draw_observed(numbers), draw_errors(numbers), draw_coverage(numbers, 0.9)):
        assert drawn == "" or _parse(drawn).tag == "svg"
    assert draw_observed(Numbers(*[np.empty(0)] * 3)) == ""


def test_without_intervals_there_is_no_chart_of_coverage() -> None:
    numbers = _numbers(10)
    assert draw_coverage(Numbers(numbers.labels, numbers.ours, numbers.baseline), 0.9) == ""


def _pairs(count: int = 300) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    random = np.random.default_rng(0)
    actual = random.integers(0, 3, count)
    return actual, np.where(random.uniform(size=count) < 0.8, actual, random.integers(0, 3, count))


def test_pairs_are_counted_as_scikit_learn_does() -> None:
    np.testing.assert_array_equal(count_pairs(*_pairs(), 3), confusion_matrix(*_pairs()))


def test_the_confusion_shows_the_share_of_each_actual_category() -> None:
    picture = _parse(draw_confusion(*_pairs(), _CATEGORIES))
    words = [element.text for element in picture.iter("text")]
    shares = confusion_matrix(*_pairs(), normalize="true").ravel()
    assert [word for word in words if re.fullmatch(r"[01]\.\d\d", word or "")] == [f"{share:.2f}" for share in shares]
    assert set(_CATEGORIES) <= set(words)


def test_a_category_without_rows_has_no_share() -> None:
    nothing = np.zeros(4, np.int64)
    assert "of Gentoo 0" in _description(draw_confusion(nothing, nothing, _CATEGORIES))


def test_too_many_categories_are_not_drawn() -> None:
    assert draw_confusion(*_pairs(), tuple(map(str, range(13)))) == ""
    assert draw_confusion(np.empty(0, np.int64), np.empty(0, np.int64), _CATEGORIES) == ""
