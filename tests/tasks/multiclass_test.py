"""Which one of several: outputs, answers and metrics, against scikit-learn."""

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, recall_score, roc_auc_score
from support.properties import PROPERTY
from support.tasks import SPECIES, make_multiclass

from athanor.contract.columns import Columns
from athanor.errors import DataError
from athanor.release.manifest import Sets, Temperature
from athanor.tasks.tasks import task_of

_TASK: Final = task_of(make_multiclass())
_WITH_SETS: Final = task_of(make_multiclass(with_sets=True), coverage=0.9)
_SHARES = st.sampled_from([0.0, 0.1, 0.5]) | st.floats(0.01, 1)
_ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.tuples(_SHARES, _SHARES, _SHARES), st.sampled_from([0.0, 0.5, 1.0, 2.5])),
    min_size=3,
    max_size=30,
).filter(lambda rows: any(weight for _, _, weight in rows))


def _expect(y: NDArray[Any], p: NDArray[Any], weights: NDArray[Any]) -> dict[str, float]:
    """What scikit-learn finds in the rows that have a weight; of a ranking, among the categories that occur there."""
    y, p, weights = (values[weights > 0] for values in (y, p, weights))
    occurring, predicted = np.unique(y), p.argmax(axis=1)
    wanted = {
        "log_loss": log_loss(y, p, labels=[0, 1, 2], sample_weight=weights),
        "brier_score": brier_score_loss(y, p, labels=[0, 1, 2], sample_weight=weights),
        "accuracy": accuracy_score(y, predicted, sample_weight=weights),
        "balanced_accuracy": recall_score(y, predicted, labels=occurring, average="macro", sample_weight=weights),
        "macro_f1": f1_score(y, predicted, average="macro", sample_weight=weights),
    }
    if len(occurring) > 1:
        areas = [roc_auc_score(y == each, p[:, each], sample_weight=weights) for each in occurring]
        wanted["roc_auc"] = float(np.mean(areas))
    return wanted


@PROPERTY
@given(_ROWS)
def test_weighted_metrics_equal_scikit_learns(rows: list[tuple[int, tuple[float, float, float], float]]) -> None:
    y, shares, weights = (np.array(values) for values in zip(*rows, strict=True))
    shares = np.where(shares.sum(axis=1, keepdims=True) > 0, shares, 1.0)
    outputs = shares / shares.sum(axis=1, keepdims=True)
    found = _TASK.evaluate(y, _TASK.finish(outputs), weights)
    assert found == pytest.approx(_expect(y, outputs, weights), rel=0, abs=1e-9)


@pytest.mark.parametrize("count", [3, 49, 69, 1_000])
def test_all_right_is_an_accuracy_of_one_and_not_a_little_more(count: int) -> None:
    y = np.arange(count) % 3
    assert _TASK.evaluate(y, _TASK.finish(_TASK.perfect_outputs(y)))["accuracy"] == 1


def test_of_all_categories_the_ranking_is_scikit_learns_one_versus_rest() -> None:
    random = np.random.default_rng(0)
    y, outputs = random.integers(0, 3, 500), random.dirichlet([1, 1, 1], 500)
    wanted = roc_auc_score(y, outputs, multi_class="ovr", average="macro")
    assert _TASK.evaluate(y, _TASK.finish(outputs))["roc_auc"] == pytest.approx(wanted)


def test_a_category_that_is_absent_has_no_part_in_means_over_categories() -> None:
    """Neither a warning nor an error: a slice or a resample may lack one."""
    y = np.array([0, 0, 1, 1])
    outputs = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1]])
    found = _TASK.evaluate(y, _TASK.finish(outputs))
    assert (found["balanced_accuracy"], found["roc_auc"]) == pytest.approx((0.75, 0.75))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_rows_of_one_category_have_no_ranking() -> None:
    found = _TASK.evaluate(np.array([2, 2]), _TASK.finish(np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])))
    assert found.keys() == _TASK.metrics.keys() - {"roc_auc"}


def test_outputs_are_in_the_order_of_the_label_and_zero_for_what_a_fit_did_not_see() -> None:
    frame = np.zeros((4, 1))
    fitted = DummyClassifier(strategy="prior").fit(frame, np.array([2, 2, 2, 0]))
    np.testing.assert_array_equal(_TASK.outputs(fitted, frame), np.tile([0.25, 0.0, 0.75], (4, 1)))


def test_the_answer_is_the_likeliest_category_the_first_of_equals() -> None:
    answers = _TASK.finish(np.array([[0.2, 0.3, 0.5], [0.4, 0.4, 0.2], [0.0, 0.5, 0.5]]))
    assert answers["species"].tolist() == ["Gentoo", "Adelie", "Chinstrap"]
    assert answers["species"].dtype == np.object_
    np.testing.assert_array_equal(answers["gentoo_probability"], [0.5, 0.2, 0.5])
    assert answers.keys() == {"species", *(f"{name.lower()}_probability" for name in SPECIES)}


def test_an_answer_is_calibrated_first_and_its_set_follows_from_it() -> None:
    doubt = Sets(coverage=0.9, thresholds={"Adelie": 0.3, "Chinstrap": 0.3, "Gentoo": 0.0})
    answers = _WITH_SETS.finish(np.array([[0.6, 0.3, 0.1]]), Temperature(temperature=0.5), doubt)
    squares = np.array([0.36, 0.09, 0.01])
    found = [answers[f"{name.lower()}_probability"][0] for name in SPECIES]
    np.testing.assert_allclose(found, squares / squares.sum(), atol=1e-9)
    assert [answers[f"may_be_{name.lower()}"][0] for name in SPECIES] == [1, 0, 1]


def _answer(species: list[str], sets: list[list[int]]) -> Columns:
    answers = _WITH_SETS.finish(np.eye(3)[[SPECIES.index(name) for name in species]])
    return {
        **answers,
        **{f"may_be_{name.lower()}": np.array(of, float) for name, of in zip(SPECIES, sets, strict=True)},
    }


def test_coverage_and_size_of_sets_are_means_over_rows() -> None:
    answers = _answer(["Adelie", "Adelie", "Gentoo"], [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    found = _WITH_SETS.evaluate(np.array([0, 1, 2]), answers)
    assert (found["coverage"], found["set_size"]) == pytest.approx((2 / 3, 1.0))


def test_a_category_of_an_older_model_is_a_wrong_answer() -> None:
    answers = {**_TASK.finish(np.eye(3)), "species": np.array(["Adelie", "Emperor", "Gentoo"], dtype=object)}
    assert _TASK.evaluate(np.arange(3), answers)["accuracy"] == pytest.approx(2 / 3)
    assert _TASK.evaluate(np.arange(3), answers)["macro_f1"] == pytest.approx(2 / 3)


def test_which_way_is_better_is_known_of_every_metric() -> None:
    y = np.arange(3).repeat(4)
    right, wrong = 0.8 * np.eye(3)[y] + 0.1, 0.8 * np.eye(3)[(y + 1) % 3] + 0.1
    ours, theirs = (_TASK.evaluate(y, _TASK.finish(each / each.sum(axis=1, keepdims=True))) for each in (right, wrong))
    assert ours.keys() == _TASK.metrics.keys()
    assert all(metric.gain(ours[name], theirs[name]) > 0 for name, metric in _TASK.metrics.items())
    assert all(metric.lowest <= theirs[name] <= metric.highest for name, metric in _TASK.metrics.items())


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr"])
def test_a_fold_without_a_category_has_a_score(scoring: str) -> None:
    """scikit-learn's own scorers raise or warn there."""
    y, outputs = np.array([0, 1, 0, 1]), np.random.default_rng(0).dirichlet([1, 1, 1], 4)
    assert np.isfinite(_TASK.score(scoring, y, outputs))


def test_any_other_score_is_that_of_scikit_learn() -> None:
    y, outputs = np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 1, 1]]
    assert _TASK.score("recall_micro", y, outputs) == 0.75
    assert _TASK.score("recall_micro", y, outputs, np.array([1.0, 1.0, 2.0, 0.0])) == 0.5


def test_labels_are_encoded_by_the_order_of_their_categories() -> None:
    y = _TASK.encode(np.array(["Gentoo", "Adelie", "Gentoo", "Chinstrap"], dtype=object))
    assert y.tolist() == [2, 0, 2, 1]
    assert _TASK.describe_labels(y) == {"share of Adelie": 0.25, "share of Chinstrap": 0.25, "share of Gentoo": 0.5}
    assert _TASK.list_label_problems(y, "fold 1") == []
    assert _TASK.list_label_problems(y[:1], "fold 1") == [
        "fold 1: all 1 rows have the label Gentoo; two different ones or more must occur"
    ]
    with pytest.raises(DataError, match="label is 'Emperor' in row 1, and unknown in 1 of 2 rows; allowed is one of"):
        _TASK.encode(np.array(["Gentoo", "Emperor"], dtype=object))


def test_the_likeliest_category_claims_how_often_it_is_right() -> None:
    outputs = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.6, 0.2, 0.2], [0.2, 0.2, 0.6]])
    found = _TASK.measure_reliability(np.array([0, 1, 1, 0]), _TASK.finish(outputs), bins=1)
    assert (found.error, found.claimed, found.observed) == pytest.approx((0.1, 0.6, 0.5))
