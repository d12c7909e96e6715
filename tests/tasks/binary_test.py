"""Whether something is true: outputs, answers and metrics, against scikit-learn."""

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from support.properties import PROPERTY
from support.tasks import make_binary

from athanor.release.manifest import Calibration, Sets
from athanor.tasks.tasks import task_of

_TASK: Final = task_of(make_binary())
_WITH_SETS: Final = task_of(make_binary(with_sets=True), coverage=0.9)
_METRICS: Final = {
    "roc_auc": roc_auc_score,
    "average_precision": average_precision_score,
    "brier_score": brier_score_loss,
    "log_loss": log_loss,
}
_ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]) | st.floats(0, 1),
        st.integers(0, 4),
    ),
    min_size=2,
    max_size=30,
).filter(lambda rows: {label for label, _, weight in rows if weight} == {0, 1})


def _weigh(labels: NDArray[Any], probabilities: NDArray[Any], weights: NDArray[Any]) -> dict[str, float]:
    return _TASK.weigh(labels, {"probability": probabilities})(tuple(_METRICS), weights)


@PROPERTY
@given(_ROWS, st.sampled_from([1, 0.3]))
def test_weighted_metrics_equal_scikit_learns(rows: list[tuple[int, float, int]], unit: float) -> None:
    """Whole weights are counted exactly, others added up."""
    labels, probabilities, weights = (np.array(values) for values in zip(*rows, strict=True))
    weights = weights * unit
    wanted = {name: metric(labels, probabilities, sample_weight=weights) for name, metric in _METRICS.items()}
    assert _weigh(labels, probabilities, weights) == pytest.approx(wanted, rel=0, abs=1e-9)


@pytest.mark.parametrize("digits", [1, 2, 7, 16])
def test_that_holds_for_many_rows_with_many_ties_or_few(digits: int) -> None:
    random = np.random.default_rng(digits)
    labels, probabilities = random.integers(0, 2, 20_000), random.random(20_000).round(digits)
    weights = random.poisson(1, 20_000)
    wanted = {name: metric(labels, probabilities, sample_weight=weights) for name, metric in _METRICS.items()}
    assert _weigh(labels, probabilities, weights) == pytest.approx(wanted, rel=0, abs=1e-9)


def test_rows_of_one_label_have_no_ranking() -> None:
    found = _TASK.evaluate(np.array([1, 1, 0]), {"probability": np.array([0.5, 1.0, 0.3])}, np.array([1.0, 2.0, 0.0]))
    assert found == pytest.approx({"brier_score": 0.25 / 3, "log_loss": np.log(2) / 3})
    assert _TASK.evaluate(np.array([1]), {"probability": np.array([0.5])}, np.zeros(1)) == {}


def test_outputs_are_the_probability_of_true_even_if_a_fit_saw_one_label_alone() -> None:
    frame = np.arange(6.0).reshape(-1, 1)
    fitted = LogisticRegression().fit(frame, np.array([0, 0, 1, 0, 1, 1]))
    np.testing.assert_array_equal(_TASK.outputs(fitted, frame), fitted.predict_proba(frame)[:, [1]])
    for label in (0, 1):
        baseline = _TASK.default_baseline().fit(frame, np.full(6, label))
        np.testing.assert_array_equal(_TASK.outputs(baseline, frame), np.full((6, 1), float(label)))


class _Saying:
    """A classifier of two labels that says the same of any rows."""

    classes_ = np.array([0, 1])

    def __init__(self, probabilities: Any) -> None:
        self._probabilities = np.array(probabilities)

    def predict_proba(self, frame: Any) -> NDArray[Any]:
        return self._probabilities


@pytest.mark.parametrize(
    ("probabilities", "problem"),
    [
        ([0.5, 0.5], r"its probabilities have the shape \(2,\); allowed is \(n, 2\), one column per label"),
        ([[0.5], [0.5]], r"shape \(2, 1\)"),
        ([[0.5, 0.5], [np.nan, 0.5], [0.5, np.inf]], "2 of 3 probabilities are NaN or infinite"),
    ],
)
def test_outputs_of_another_shape_or_without_value_are_refused(probabilities: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        _TASK.outputs(_Saying(probabilities), None)


def test_an_answer_is_calibrated_first_and_its_set_follows_from_it() -> None:
    calibration, doubt = (
        Calibration(slope=2.0, intercept=0.0),
        Sets(coverage=0.9, thresholds={"true": 0.2, "false": 0.5}),
    )
    answers = _WITH_SETS.finish(np.array([[0.5], [0.8], [0.25], [0.0]]), calibration, doubt)
    # Odds of 4 and 1/3, squared.
    np.testing.assert_allclose(answers["probability"], [0.5, 16 / 17, 0.1, 0.0], atol=1e-9)
    assert answers["may_be_true"].tolist() == [1, 1, 0, 0]
    assert answers["may_be_false"].tolist() == [1, 0, 1, 1]
    assert _WITH_SETS.finish(np.array([[0.5]])).keys() == {"probability"}


def test_a_probability_beyond_one_is_one() -> None:
    assert _TASK.finish(np.array([[1.0000001], [-1e-9]]))["probability"].tolist() == [1, 0]


def test_coverage_and_size_of_sets_are_means_over_rows() -> None:
    y = np.array([1, 0, 1, 0])
    answers = {
        "probability": np.array([0.9, 0.2, 0.5, 0.9]),
        "may_be_true": np.array([1.0, 0, 1, 1]),
        "may_be_false": np.array([0.0, 1, 1, 0]),
    }
    found = _WITH_SETS.evaluate(y, answers)
    assert (found["coverage"], found["set_size"]) == (0.75, 1.25)
    weighted = _WITH_SETS.evaluate(y, answers, np.array([1.0, 1.0, 1.0, 3.0]))
    assert (weighted["coverage"], weighted["set_size"]) == pytest.approx((0.5, 7 / 6))


def test_which_way_is_better_is_known_of_every_metric() -> None:
    """A model that is right is better than one that is not."""
    y, right = np.array([0, 0, 1, 1, 0]), np.array([0.1, 0.2, 0.9, 0.8, 0.3])
    ours, theirs = (_TASK.evaluate(y, {"probability": each}) for each in (right, 1 - right))
    assert ours.keys() == _TASK.metrics.keys()
    assert all(metric.gain(ours[name], theirs[name]) > 0 for name, metric in _TASK.metrics.items())
    assert all(metric.lowest <= ours[name] <= metric.highest for name, metric in _TASK.metrics.items())


@pytest.mark.parametrize("scoring", ["average_precision", "roc_auc", "neg_brier_score", "neg_log_loss", "accuracy"])
def test_a_score_is_that_of_scikit_learn(scoring: str) -> None:
    random = np.random.default_rng(0)
    y, outputs = random.integers(0, 2, 50), random.random((50, 1))
    metrics = {**_METRICS, "accuracy": lambda labels, p: np.mean(labels == (p > 0.5))}
    sign = -1 if scoring.startswith("neg_") else 1
    wanted = sign * metrics[scoring.removeprefix("neg_")](y, outputs[:, 0])
    assert _TASK.score(scoring, y, outputs) == pytest.approx(wanted)


def test_a_score_that_one_label_does_not_define_is_nan() -> None:
    assert np.isnan(_TASK.score("roc_auc", np.ones(3, dtype=np.int64), np.full((3, 1), 0.5)))
    assert _TASK.score("neg_brier_score", np.ones(3, dtype=np.int64), np.full((3, 1), 0.5)) == -0.25


def test_labels_are_described_and_those_of_one_kind_refused() -> None:
    y = _TASK.encode(np.array([0.0, 1.0, 1.0, 0.0]))
    assert y.dtype == np.int64
    assert (y.tolist(), _TASK.describe_labels(y)) == ([0, 1, 1, 0], {"rate": 0.5})
    assert _TASK.list_label_problems(y, "fold 1") == []
    assert _TASK.list_label_problems(y[:1], "fold 1") == ["fold 1: all 1 rows have the label false; both must occur"]
    assert _TASK.list_label_problems(y[:0], "fold 1") == ["fold 1: there are no rows"]
    np.testing.assert_array_equal(_TASK.strata(y), y)


def test_probabilities_claim_how_often_they_come_true() -> None:
    found = _TASK.measure_reliability(np.array([1, 0, 0, 0]), {"probability": np.full(4, 0.5)}, bins=2)
    assert (found.error, found.claimed, found.observed) == (0.25, 0.5, 0.25)
