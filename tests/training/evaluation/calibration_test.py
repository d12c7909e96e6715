"""Calibration: found where it helps, left where it does not, and the same in the graph."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from support.flights import make_columns
from support.model_graphs import open_graph
from support.pipelines import make_pipeline_over

from athanor.release.graph import TOLERANCE
from athanor.release.manifest import Calibration
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.calibration import Calibrated, apply_calibration, find_calibration
from athanor.training.evaluation.evidence import Rows
from projects.delays.model import MODEL

_ROWS = Rows.make(MODEL, make_columns(2_000))


def _fold(
    seed: int, slope: float, intercept: float, count: int = 4_000
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels, and probabilities that need this calibration."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, count)
    labels = (random.uniform(size=count) < 1 / (1 + np.exp(-(slope * odds + intercept)))).astype(np.int64)
    return labels, 1 / (1 + np.exp(-odds))


def test_it_recovers_a_known_miscalibration() -> None:
    found = find_calibration([_fold(seed, 0.5, -0.7) for seed in range(3)])
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.intercept == pytest.approx(-0.7, abs=0.05)
    labels, probabilities = _fold(9, 0.5, -0.7)
    calibrated = apply_calibration(found, probabilities)
    assert np.mean((labels - calibrated) ** 2) < np.mean((labels - probabilities) ** 2) - 0.01
    assert roc_auc_score(labels, calibrated) == roc_auc_score(labels, probabilities)


def test_a_calibration_that_does_not_help_later_folds_is_not_used() -> None:
    """Each fold needs what the one before it did not."""
    assert find_calibration([_fold(0, 1.0, 1.5), _fold(1, 1.0, -1.5), _fold(2, 1.0, 1.5)]) is None


@pytest.mark.parametrize("label", [0, 1])
def test_folds_with_one_label_are_counted_once_the_other_has_occurred(label: int) -> None:
    folds = [_fold(seed, 0.5, -0.7) for seed in range(3)]
    of_one = (np.full(4_000, label), folds[0][1])
    assert find_calibration([of_one, of_one]) is None
    few = (np.full(4, label), folds[0][1][:4])
    found = find_calibration([few, *folds])
    assert found is not None
    assert found.slope == pytest.approx(0.5, abs=0.05)


def test_no_fold_is_calibrated_on_its_future() -> None:
    """The last fold alone would ask for it; the folds before it do not."""
    assert find_calibration([_fold(0, 1.0, 0.0), _fold(1, 0.3, -2.0)]) is None


def test_one_fold_is_too_few_to_tell() -> None:
    assert find_calibration([_fold(0, 0.5, -0.7)]) is None


def test_nan_stays_nan_and_certainty_stays_a_probability() -> None:
    found = apply_calibration(Calibration(slope=2.0, intercept=0.5), np.array([0.0, 1.0, np.nan]))
    assert 0 < found[0] < 1e-6
    assert 1 - 1e-6 < found[1] <= 1
    assert np.isnan(found[2])


@pytest.mark.parametrize(
    "calibration",
    [Calibration(slope=0.5, intercept=-0.7), Calibration(slope=1.7, intercept=0.2), Calibration(slope=1, intercept=0)],
)
def test_the_calibration_is_part_of_the_graph(calibration: Calibration) -> None:
    pipeline = make_pipeline_over("distance", "wind_speed").fit(_ROWS.frame, _ROWS.labels)
    graph = open_graph(compile_model(MODEL, pipeline, calibration))
    expected = Calibrated(pipeline, calibration).predict_proba(_ROWS.frame)
    np.testing.assert_allclose(expected.sum(axis=1), 1)
    np.testing.assert_allclose(graph.predict_probability(_ROWS.columns), expected[:, 1], rtol=0, atol=TOLERANCE)


def test_compiling_a_calibration_twice_gives_the_same_bytes_and_another_one_others() -> None:
    pipeline = make_pipeline_over("distance").fit(_ROWS.frame, _ROWS.labels)
    graphs = [compile_model(MODEL, pipeline, Calibration(slope=slope, intercept=0.1)) for slope in (2, 2, 3)]
    assert graphs[0] == graphs[1] != graphs[2]
