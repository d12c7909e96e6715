"""Metrics, against their definitions in plain Python."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.contract.columns import Columns
from athanor.errors import DataError, GateError
from athanor.training.evaluation.metrics import (
    GREATER_IS_BETTER,
    calibration_error,
    evaluate,
    evaluate_slices,
    gain,
    measure,
    select,
)
from athanor.training.evaluation.slices import by_column, by_month

_ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.5]) | st.floats(0.01, 0.99)), min_size=2, max_size=20
).filter(lambda rows: len({label for label, _ in rows}) == 2)

_COLUMNS: Columns = {
    "origin": np.array(["b", "b", "a", "a", ""], dtype=object),
    "at": np.array(["2013-01-31T23:59", "2013-02-01T00:00", "2013-02-09", "2013-01-01", "2013-02-28"], dtype="M8[us]"),
}
_LABELS, _PROBABILITIES = np.array([0, 1, 1, 0, 0]), np.array([0.1, 0.9, 0.2, 0.8, 0.5])


def _roc_auc(rows: Sequence[tuple[int, float]]) -> float:
    """How often a positive row ranks above a negative one; ties count half."""
    pairs = [(p, n) for label, p in rows if label for other, n in rows if not other]
    return sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)


def _average_precision(rows: Sequence[tuple[int, float]]) -> float:
    """Precision at each threshold, weighed by how much recall it adds."""
    positives = sum(label for label, _ in rows)
    total, found_before = 0.0, 0
    for threshold in sorted({p for _, p in rows}, reverse=True):
        chosen = [label for label, p in rows if p >= threshold]
        total += (sum(chosen) - found_before) / positives * sum(chosen) / len(chosen)
        found_before = sum(chosen)
    return total


@PROPERTY
@given(_ROWS)
def test_metrics_match_their_definitions(rows: list[tuple[int, float]]) -> None:
    labels, probabilities = (np.array(values) for values in zip(*rows, strict=True))
    found = evaluate(labels, probabilities)
    assert found == pytest.approx(
        {
            "roc_auc": _roc_auc(rows),
            "average_precision": _average_precision(rows),
            "brier_score": sum((label - p) ** 2 for label, p in rows) / len(rows),
            "log_loss": -sum(math.log(p if label else 1 - p) for label, p in rows) / len(rows),
        }
    )
    assert {name: measure(name, labels, probabilities) for name in found} == found


def test_which_way_is_better_is_known_of_every_metric() -> None:
    """A model that is right is better than one that is not."""
    labels, right = np.array([0, 0, 1, 1, 0]), np.array([0.1, 0.2, 0.9, 0.8, 0.3])
    ours, theirs = evaluate(labels, right), evaluate(labels, 1 - right)
    assert ours.keys() == GREATER_IS_BETTER.keys()
    assert all(gain(name, ours[name], theirs[name]) > 0 for name in ours)
    assert all(gain(name, theirs[name], ours[name]) < 0 for name in ours)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.01, 1.01])
def test_an_invalid_probability_is_not_evaluated(wrong: float) -> None:
    probabilities = np.array([0.1, 0.9, wrong, wrong, 0.5])
    with pytest.raises(GateError, match=f"2 of 5 probabilities are NaN or outside 0 to 1; the first is {wrong:g}"):
        evaluate(_LABELS, probabilities)
    with pytest.raises(GateError, match="must not be released"):
        measure("log_loss", _LABELS, probabilities)


def test_a_probability_that_is_one_but_for_rounding_is_one() -> None:
    """What graphs of forests answer."""
    labels = np.array([0, 1, 1, 0])
    rounded, exact = (np.array([-outside, 0.5, 1 + outside, 1]) for outside in (1e-7, 0))
    assert evaluate(labels, rounded) == evaluate(labels, exact)


def test_a_single_label_has_no_metrics() -> None:
    with pytest.raises(DataError, match=r"all 5 rows have the label \[0\]"):
        evaluate(np.zeros(5, dtype=np.int64), _PROBABILITIES)


@pytest.mark.parametrize(
    ("labels", "probabilities", "bins", "error"),
    [
        ([0, 1, 0, 1], [0.5] * 4, 10, 0.0),
        ([0, 1, 0, 1], [0.9] * 4, 10, 0.4),
        ([0, 0, 1, 1], [0.0, 0.0, 1.0, 1.0], 2, 0.0),
        ([1, 1, 0, 0], [0.0, 0.0, 1.0, 1.0], 2, 1.0),
        # On average all is well; in each half it is not.
        ([0, 0, 1, 1], [0.4, 0.4, 0.6, 0.6], 1, 0.0),
        ([0, 0, 1, 1], [0.4, 0.4, 0.6, 0.6], 2, 0.4),
        # The smaller bin weighs less.
        ([0, 0, 1, 1, 1], [0.4, 0.4, 1.0, 1.0, 1.0], 2, 0.4 * 2 / 5),
    ],
)
def test_calibration_error_is_the_gap_between_probability_and_rate(
    labels: list[int], probabilities: list[float], bins: int, error: float
) -> None:
    assert calibration_error(np.array(labels), np.array(probabilities), bins) == pytest.approx(error, abs=1e-12)


def test_calibration_error_uses_bins_of_equal_counts() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(1_000)
    labels = (random.random(1_000) < probabilities**2).astype(np.int64)
    rows = sorted(zip(probabilities.tolist(), labels.tolist(), strict=True))
    bins = [rows[start : start + 100] for start in range(0, 1_000, 100)]
    gaps = [abs(sum(p for p, _ in rows_) - sum(label for _, label in rows_)) for rows_ in bins]
    assert calibration_error(labels, probabilities) == pytest.approx(sum(gaps) / 1_000)


@PROPERTY
@given(_ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_calibration_error(rows: list[tuple[int, float]], random: object) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    errors = []
    for some in (rows, shuffled):
        labels, probabilities = (np.array(values) for values in zip(*some, strict=True))
        errors.append(calibration_error(labels, probabilities, bins=3))
    assert errors[0] == pytest.approx(errors[1], abs=1e-12)


def test_calibration_error_of_nan_is_nan() -> None:
    assert math.isnan(calibration_error(_LABELS, np.array([0.1, 0.9, math.nan, 0.8, 0.5])))


def test_a_month_begins_at_midnight_utc() -> None:
    months = {value: rows.tolist() for value, rows in select(by_month("at"), _COLUMNS)}
    assert months == {
        "2013-01": [True, False, False, True, False],
        "2013-02": [False, True, True, False, True],
    }


def test_slices_report_rows_rate_and_metrics_of_each_value_in_order() -> None:
    results = evaluate_slices((by_column("origin"), by_month("at")), _COLUMNS, _LABELS, _PROBABILITIES)
    assert [(found.slice, found.value, found.rows, found.label_rate) for found in results] == [
        ("origin", "", 1, 0.0),
        ("origin", "a", 2, 0.5),
        ("origin", "b", 2, 0.5),
        ("month", "2013-01", 2, 0.0),
        ("month", "2013-02", 3, pytest.approx(2 / 3)),
    ]
    assert results[1].metrics == evaluate(np.array([1, 0]), np.array([0.2, 0.8]))
    assert results[2].metrics["roc_auc"] == 1


def test_a_slice_of_one_label_has_no_metrics() -> None:
    alone, *_ = evaluate_slices((by_column("origin"),), _COLUMNS, _LABELS, _PROBABILITIES)
    assert alone.metrics == dict.fromkeys(GREATER_IS_BETTER)


def test_a_slice_with_an_invalid_probability_is_not_evaluated() -> None:
    with pytest.raises(GateError, match="nan in row 0"):
        evaluate_slices((by_column("origin"),), _COLUMNS, _LABELS, np.array([0.1, 0.9, math.nan, 0.8, 0.5]))
