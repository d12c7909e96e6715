"""How much: outputs, answers and metrics, against scikit-learn."""

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.linear_model import LinearRegression
from support.properties import PROPERTY
from support.tasks import make_regression

from athanor.errors import ContractError
from athanor.release.manifest import Intervals
from athanor.tasks.tasks import task_of

_TASK: Final = task_of(make_regression(with_interval=True), coverage=0.8)
_COUNT: Final = task_of(make_regression(label="uint32"))
_NUMBERS = st.sampled_from([0.0, 1.0, -3.0]) | st.floats(-100, 100)
_ROWS = st.lists(
    st.tuples(_NUMBERS, _NUMBERS, st.floats(0, 5), st.sampled_from([0, 1, 2, 3])), min_size=2, max_size=30
).filter(lambda rows: len({round(y, 3) for y, _, _, weight in rows if weight}) > 1)


@PROPERTY
@given(_ROWS)
def test_weighted_metrics_equal_scikit_learns(rows: list[tuple[float, float, float, int]]) -> None:
    y, values, width, weights = (np.array(each) for each in zip(*rows, strict=True))
    answers = {"mass": values, "mass_from": values - width, "mass_to": values + 2 * width}
    by = {"sample_weight": weights}
    pinball = [
        metrics.mean_pinball_loss(y, answers[end], alpha=quantile, **by)
        for end, quantile in (("mass_from", 0.1), ("mass_to", 0.9))
    ]
    assert _TASK.evaluate(y, answers, weights) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(y, values, **by),
            "rmse": metrics.root_mean_squared_error(y, values, **by),
            # Of repeated rows, as scikit-learn's weighted median is the lower of two middle ones.
            "median_absolute_error": np.median(np.repeat(np.abs(y - values), weights)),
            "r2": metrics.r2_score(y, values, **by),
            "mean_pinball": np.mean(pinball),
            "coverage": np.average((answers["mass_from"] <= y) & (y <= answers["mass_to"]), weights=weights),
            "interval_width": np.average(answers["mass_to"] - answers["mass_from"], weights=weights),
        },
        rel=1e-7,
        abs=1e-9,
    )


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.01, 9), st.floats(0.1, 3)), min_size=1, max_size=20))
def test_the_deviance_of_counts_equals_scikit_learns(rows: list[tuple[int, float, float]]) -> None:
    y, values, weights = (np.array(each, dtype=np.float64) for each in zip(*rows, strict=True))
    wanted = metrics.mean_poisson_deviance(y, values, sample_weight=weights)
    found = _COUNT.evaluate(y, {"mass": values}, weights)["mean_poisson_deviance"]
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_a_count_that_was_thought_impossible_costs_much_and_not_everything() -> None:
    found = _COUNT.evaluate(np.array([1.0, 0.0]), {"mass": np.array([0.0, 0.0])})["mean_poisson_deviance"]
    assert 30 < found < 40


def test_rows_of_one_number_have_no_explained_variance() -> None:
    found = _TASK.evaluate(np.full(3, 0.1), {"mass": np.zeros(3)})
    assert found == pytest.approx({"mae": 0.1, "rmse": 0.1, "median_absolute_error": 0.1})


def test_outputs_are_one_column_whatever_the_shape_of_predictions() -> None:
    frame = np.arange(4.0).reshape(-1, 1)
    flat, column = (LinearRegression().fit(frame, y) for y in (2 * frame[:, 0], 2 * frame))
    np.testing.assert_allclose(_TASK.outputs(flat, frame), 2 * frame, atol=1e-12)
    np.testing.assert_allclose(_TASK.outputs(column, frame), 2 * frame, atol=1e-12)


class _Saying:
    """A regressor that says the same of any rows."""

    def __init__(self, values: Any) -> None:
        self._values = np.array(values)

    def predict(self, frame: Any) -> NDArray[Any]:
        return self._values


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1.0], r"its predictions have the shape \(1,\); allowed is \(2,\), one per row"),
        ([[1.0, 2.0], [1.0, 2.0]], r"the shape \(2, 2\)"),
        ([1.0, np.nan], "1 of 2 predictions are NaN or infinite"),
    ],
)
def test_outputs_of_another_shape_or_without_value_are_refused(values: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        _TASK.outputs(_Saying(values), np.zeros((2, 1)))


def test_an_interval_is_that_of_the_bin_and_a_number_on_an_edge_is_in_the_bin_above() -> None:
    doubt = Intervals(coverage=0.8, edges=(10.0,), lower=(-1.0, -2.0), upper=(1.0, 3.0))
    answers = _TASK.finish(np.array([[9.0], [10.0], [11.0]]), doubt=doubt)
    assert answers["mass_from"].tolist() == [8, 8, 9]
    assert answers["mass_to"].tolist() == [10, 13, 14]
    assert _TASK.finish(np.array([[9.0]])).keys() == {"mass"}


def test_numbers_and_ends_stay_within_the_range_of_their_columns() -> None:
    task = task_of(make_regression(with_interval=True, label="int32", minimum=0, maximum=5), coverage=0.8)
    doubt = Intervals(coverage=0.8, edges=(), lower=(-2.0,), upper=(2.0,))
    answers = task.finish(np.array([[-1.0], [1.0], [4.0]]), doubt=doubt)
    assert answers["mass"].tolist() == [0, 1, 4]
    assert answers["mass_from"].tolist() == [0, 0, 2]
    assert answers["mass_to"].tolist() == [2, 3, 5]


def test_differences_are_measured_in_units_of_the_largest_distance_from_the_median() -> None:
    assert _TASK.tolerance(np.array([0.0, 10.0, -5_000.0])) == pytest.approx(5e-3)
    assert _TASK.tolerance(1e8 + np.array([0.0, 10.0, -50.0])) == pytest.approx(5e-5)
    assert _TASK.tolerance(np.zeros(3)) == 1e-6


def test_which_way_is_better_is_known_of_every_metric() -> None:
    y = np.array([1.0, 2.0, 4.0, 8.0])
    task = task_of(make_regression(with_interval=True, label="uint32"), coverage=0.8)
    good, bad = (
        {"mass": y + by, "mass_from": y + by - width, "mass_to": y + by + width}
        for by, width in ((0.1, 0.3), (4.0, 3.0))
    )
    ours, theirs = task.evaluate(y, good), task.evaluate(y, bad)
    assert ours.keys() == task.metrics.keys()
    assert all(metric.gain(ours[name], theirs[name]) > 0 for name, metric in task.metrics.items())
    assert all(metric.lowest <= theirs[name] <= metric.highest for name, metric in task.metrics.items())


@pytest.mark.parametrize("name", ["mae", "rmse", "median_absolute_error", "r2"])
def test_a_metric_with_a_scorer_is_that_score(name: str) -> None:
    scorer = _TASK.metrics[name].scorer
    random = np.random.default_rng(0)
    y, outputs = random.normal(size=41), random.normal(size=(41, 1))
    wanted = metrics.get_scorer(scorer)(_TASK.predict_like(outputs), np.zeros((41, 1)), y)
    assert _TASK.score(scorer, y, outputs) == pytest.approx(wanted)


def test_labels_are_described_and_those_of_one_kind_refused() -> None:
    y = _TASK.encode(np.array([1.0, 2.0, 6.0]))
    assert _TASK.describe_labels(y) == {"mean": 3.0, "median": 2.0}
    assert _TASK.list_label_problems(y, "fold 1") == []
    assert _TASK.list_label_problems(y[:0], "fold 1") == ["fold 1: there are no rows"]
    assert _TASK.list_label_problems(np.full(2, 3.5), "fold 1") == [
        "fold 1: all 2 rows have the label 3.5; two different ones or more must occur"
    ]
    assert _TASK.strata(y) is None
    assert _TASK.find_calibration([(y, y.reshape(-1, 1))] * 3) is None


def test_intervals_claim_the_share_of_outcomes_that_they_hold() -> None:
    y, values = np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])
    answers = {"mass": values, "mass_from": values - 1, "mass_to": values + 1}
    found = _TASK.measure_reliability(y, answers, bins=2)
    assert (found.error, found.claimed, found.observed) == pytest.approx((0.25, 0.8, 0.75))


def test_a_number_alone_claims_nothing() -> None:
    task = task_of(make_regression())
    (problem,) = task.list_claim_problems()
    assert problem.startswith(
        "the number mass claims nothing that could be calibrated; declare columns with ROLE_LOWER"
    )
    assert _TASK.list_claim_problems() == []
    with pytest.raises(ContractError, match="claims nothing that could be calibrated"):
        task.measure_reliability(np.ones(2), {"mass": np.ones(2)}, bins=2)
