"""The calibration error, against its definition in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.tasks.reliability import calibration_error

_ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.5]) | st.floats(0.01, 0.99)), min_size=2, max_size=20
)


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
    assert calibration_error(np.array(probabilities), np.array(labels), bins) == pytest.approx(error, abs=1e-12)


def test_calibration_error_uses_bins_of_equal_counts() -> None:
    random = np.random.default_rng(0)
    probabilities = random.random(1_000)
    labels = (random.random(1_000) < probabilities**2).astype(np.float64)
    rows = sorted(zip(probabilities.tolist(), labels.tolist(), strict=True))
    bins = [rows[start : start + 100] for start in range(0, 1_000, 100)]
    gaps = [abs(sum(p for p, _ in rows_) - sum(label for _, label in rows_)) for rows_ in bins]
    assert calibration_error(probabilities, labels, 10) == pytest.approx(sum(gaps) / 1_000)


@PROPERTY
@given(_ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_calibration_error(rows: list[tuple[int, float]], random: object) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    errors = []
    for some in (rows, shuffled):
        labels, probabilities = (np.array(values) for values in zip(*some, strict=True))
        errors.append(calibration_error(probabilities, labels, bins=3))
    assert errors[0] == pytest.approx(errors[1], abs=1e-12)


def test_calibration_error_of_nan_is_nan() -> None:
    assert math.isnan(calibration_error(np.array([0.1, 0.9, math.nan, 0.8, 0.5]), np.ones(5), 2))


def test_a_row_counts_by_its_weight_and_rows_may_be_binned_by_something_else() -> None:
    claimed, observed = np.array([0.9, 0.9, 0.9, 0.9]), np.array([1.0, 1.0, 0.0, 1.0])
    by, weights = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 1.0, 3.0, 0.0])
    found = calibration_error(claimed, observed, bins=2, by=by, weights=weights)
    assert found == pytest.approx((0.1 * 2 + 0.9 * 3) / 5)
