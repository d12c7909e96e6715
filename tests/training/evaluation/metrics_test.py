"""Metrics, against their definitions in plain Python."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.evidence import TASK, answer
from support.properties import PROPERTY
from support.tasks import make_binary

from athanor.contract.columns import Columns
from athanor.errors import ContractError, DataError, GateError
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.evidence import Rows
from athanor.training.evaluation.metrics import evaluate, evaluate_slices, measure, select
from athanor.training.evaluation.slices import by_column, by_month

_ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.5]) | st.floats(0.01, 0.99)), min_size=2, max_size=20
).filter(lambda rows: len({label for label, _ in rows}) == 2)

_COLUMNS: Columns = {
    "origin": np.array(["b", "b", "a", "a", ""], dtype=object),
    "at": np.array(["2013-01-31T23:59", "2013-02-01T00:00", "2013-02-09", "2013-01-01", "2013-02-28"], dtype="M8[us]"),
}
_LABELS, _PROBABILITIES = np.array([0, 1, 1, 0, 0]), np.array([0.1, 0.9, 0.2, 0.8, 0.5])
_ROWS_OF_SLICES = Rows(_COLUMNS, None, _LABELS)


def _evaluate(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    return evaluate(TASK, Rows({}, None, labels), answer(probabilities))


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
    found = _evaluate(labels, probabilities)
    assert found == pytest.approx(
        {
            "roc_auc": _roc_auc(rows),
            "average_precision": _average_precision(rows),
            "brier_score": sum((label - p) ** 2 for label, p in rows) / len(rows),
            "log_loss": -sum(math.log(p if label else 1 - p) for label, p in rows) / len(rows),
        }
    )
    assert {name: measure(TASK, name, Rows({}, None, labels), answer(probabilities)) for name in found} == found


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.01, 1.01])
def test_an_invalid_probability_is_not_evaluated(wrong: float) -> None:
    probabilities = np.array([0.1, 0.9, wrong, wrong, 0.5])
    with pytest.raises(GateError, match=f"late_probability is invalid in 2 of 5 rows, and {wrong:g} in row 2"):
        _evaluate(_LABELS, probabilities)
    with pytest.raises(GateError, match="must not be released"):
        measure(TASK, "log_loss", _ROWS_OF_SLICES, answer(probabilities))


def test_a_probability_that_is_one_but_for_rounding_is_one() -> None:
    """What graphs of forests answer."""
    labels = np.array([0, 1, 1, 0])
    rounded, exact = (np.array([-outside, 0.5, 1 + outside, 1]) for outside in (1e-7, 0))
    assert _evaluate(labels, rounded) == _evaluate(labels, exact)


def test_a_single_label_has_no_metrics() -> None:
    with pytest.raises(DataError, match="the rows of the evaluation: all 5 rows have the label false; both must occur"):
        _evaluate(np.zeros(5, dtype=np.int64), _PROBABILITIES)


def test_a_month_begins_at_midnight_utc() -> None:
    months = {value: rows.tolist() for value, rows in select(by_month("at"), _COLUMNS)}
    assert months == {
        "2013-01": [True, False, False, True, False],
        "2013-02": [False, True, True, False, True],
    }


def test_slices_report_rows_rate_and_metrics_of_each_value_in_order() -> None:
    results = evaluate_slices(TASK, (by_column("origin"), by_month("at")), _ROWS_OF_SLICES, answer(_PROBABILITIES))
    assert [(found.slice, found.value, found.rows, found.label["rate"]) for found in results] == [
        ("origin", "", 1, 0.0),
        ("origin", "a", 2, 0.5),
        ("origin", "b", 2, 0.5),
        ("month", "2013-01", 2, 0.0),
        ("month", "2013-02", 3, pytest.approx(2 / 3)),
    ]
    assert results[1].metrics == _evaluate(np.array([1, 0]), np.array([0.2, 0.8]))
    assert results[2].metrics["roc_auc"] == 1


def test_a_slice_of_one_label_has_no_ranking() -> None:
    alone, *_ = evaluate_slices(TASK, (by_column("origin"),), _ROWS_OF_SLICES, answer(_PROBABILITIES))
    assert alone.metrics == pytest.approx(
        {"roc_auc": None, "average_precision": None, "brier_score": 0.25, "log_loss": math.log(2)}
    )


def test_a_slice_with_an_invalid_probability_is_not_evaluated() -> None:
    with pytest.raises(GateError, match="nan in row 2"):
        evaluate_slices(TASK, (by_column("origin"),), _ROWS_OF_SLICES, answer(np.array([0.1, 0.9, math.nan, 0.8, 0.5])))


def test_a_metric_of_another_task_or_of_no_answer_is_refused() -> None:
    with pytest.raises(
        ContractError, match="unknown metric 'mae'; the label arrived_late is binary, use one of roc_auc"
    ):
        measure(TASK, "mae", _ROWS_OF_SLICES, answer(_PROBABILITIES))
    task = task_of(make_binary(with_sets=True), coverage=0.9)
    answers = {task.contract.prediction.name: _PROBABILITIES}
    with pytest.raises(ContractError, match="set_size is not defined for these answers, which have the columns prob"):
        measure(task, "set_size", _ROWS_OF_SLICES, answers)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [([0.0] * 5, "there are no rows"), ([1.0, 0.0, 0.0, 1.0, 1.0], "all 3 rows have the label false")],
)
def test_rows_without_weight_are_not_evaluated(weights: list[float], problem: str) -> None:
    rows = Rows(_COLUMNS, None, _LABELS, weights=np.array(weights))
    with pytest.raises(DataError, match=f"the rows of the evaluation: {problem}"):
        evaluate(TASK, rows, answer(_PROBABILITIES))


def test_a_slice_whose_rows_have_no_weight_has_no_metrics() -> None:
    rows = Rows(_COLUMNS, None, _LABELS, weights=np.array([1.0, 2.0, 0.0, 0.0, 1.0]))
    _, nothing, some = evaluate_slices(TASK, (by_column("origin"),), rows, answer(_PROBABILITIES))
    assert set(nothing.metrics.values()) == {None}
    assert some.metrics["brier_score"] == pytest.approx(0.01)
