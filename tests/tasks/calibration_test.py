"""Calibration: found where it helps, left where it does not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from athanor.release.manifest import Calibration, Temperature
from athanor.tasks.calibration import apply_platt, apply_temperature, find_platt, find_temperature


def _fold(
    seed: int, slope: float, intercept: float, count: int = 4_000
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels, and outputs that need this calibration."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, count)
    labels = (random.uniform(size=count) < 1 / (1 + np.exp(-(slope * odds + intercept)))).astype(np.int64)
    return labels, (1 / (1 + np.exp(-odds))).reshape(-1, 1)


def test_it_recovers_a_known_miscalibration() -> None:
    found = find_platt([_fold(seed, 0.5, -0.7) for seed in range(3)])
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.intercept == pytest.approx(-0.7, abs=0.05)
    labels, outputs = _fold(9, 0.5, -0.7)
    calibrated = apply_platt(found, outputs)[:, 0]
    assert np.mean((labels - calibrated) ** 2) < np.mean((labels - outputs[:, 0]) ** 2) - 0.01
    assert roc_auc_score(labels, calibrated) == roc_auc_score(labels, outputs[:, 0])


def test_a_calibration_that_does_not_help_later_folds_is_not_used() -> None:
    """Each fold needs what the one before it did not."""
    assert find_platt([_fold(0, 1.0, 1.5), _fold(1, 1.0, -1.5), _fold(2, 1.0, 1.5)]) is None


@pytest.mark.parametrize("label", [0, 1])
def test_folds_with_one_label_are_counted_once_the_other_has_occurred(label: int) -> None:
    folds = [_fold(seed, 0.5, -0.7) for seed in range(3)]
    of_one = (np.full(4_000, label), folds[0][1])
    assert find_platt([of_one, of_one]) is None
    few = (np.full(4, label), folds[0][1][:4])
    found = find_platt([few, *folds])
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.05)


def test_no_fold_is_calibrated_on_its_future() -> None:
    """The last fold alone would ask for it; the folds before it do not."""
    assert find_platt([_fold(0, 1.0, 0.0), _fold(1, 0.3, -2.0)]) is None


def test_one_fold_is_too_few_to_tell() -> None:
    assert find_platt([_fold(0, 0.5, -0.7)]) is None


def test_nan_stays_nan_and_certainty_stays_a_probability() -> None:
    found = apply_platt(Calibration(slope=2.0, intercept=0.5), np.array([0.0, 1.0, np.nan]))
    assert 0 < found[0] < 1e-6
    assert 1 - 1e-6 < found[1] <= 1
    assert np.isnan(found[2])


def _classes(seed: int, temperature: float, count: int = 4_000) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Categories, and outputs that need this temperature."""
    random = np.random.default_rng(seed)
    outputs = random.dirichlet([1.0, 1.0, 1.0, 1.0], count)
    true = outputs ** (1 / temperature)
    edges = (true / true.sum(axis=1, keepdims=True)).cumsum(axis=1)
    return np.minimum((random.random((count, 1)) > edges).sum(axis=1), 3), outputs


@pytest.mark.parametrize("temperature", [0.5, 2.0, 4.0])
def test_it_recovers_a_known_temperature(temperature: float) -> None:
    found = find_temperature([_classes(seed, temperature) for seed in range(3)])
    assert found is not None
    assert found.temperature == pytest.approx(temperature, rel=0.05)


def test_a_temperature_that_does_not_help_later_folds_is_not_used() -> None:
    assert find_temperature([_classes(0, 3.0), _classes(1, 0.4), _classes(2, 3.0)]) is None
    assert find_temperature([_classes(0, 3.0)]) is None
    of_one = (np.zeros(4_000, dtype=np.int64), _classes(0, 3.0)[1])
    assert find_temperature([of_one, of_one]) is None


def test_the_same_folds_give_the_same_calibration() -> None:
    for find, folds in (
        (find_platt, [_fold(s, 0.5, 0.0) for s in range(2)]),
        (find_temperature, [_classes(s, 2.0) for s in range(2)]),
    ):
        assert find(folds) == find(folds) is not None


def test_a_temperature_keeps_the_order_and_the_sum() -> None:
    outputs = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.4, 0.3, 0.3]])
    found = apply_temperature(Temperature(temperature=2.0), outputs)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[0], np.sqrt(outputs[0]) / np.sqrt(outputs[0]).sum())
    assert found.argmax(axis=1).tolist() == [0, 1, 0]
    assert found[1].min() > 0
    np.testing.assert_allclose(apply_temperature(Temperature(temperature=1.0), outputs)[[0, 2]], outputs[[0, 2]])
