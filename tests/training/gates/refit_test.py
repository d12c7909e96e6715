"""The gate on a refit: how far its answers may be from the evaluated model's."""

from dataclasses import replace

import numpy as np
import pytest
from support.tables import TASKS, make_model, make_table

from athanor.contract.columns import Columns
from athanor.tasks.task import Task
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows
from athanor.training.gates.refit import NearEvaluated


def _make(kind: str, evaluated: float, now: float, with_weight: bool = False) -> tuple[Evidence, Rows]:
    """Answers that are a share of the way from those of one row to the outcomes."""
    model = make_model(kind, with_weight=with_weight)
    task = task_of(model.contract)
    rows = Rows.make_without_features(task, make_table(model.contract, 200))
    answers = _move(task, rows, now)
    evidence = Evidence(model, task, rows, Fitted(None, task), b"", answers, baseline=answers)
    return replace(evidence, evaluated=_move(task, rows, evaluated)), rows


def _move(task: Task, rows: Rows, share: float) -> Columns:
    perfect = task.perfect_outputs(rows.labels)
    return task.finish(share * perfect + (1 - share) * perfect.mean(axis=0))


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize(
    ("now", "passed"),
    [(0.5, True), (0.6, True), (1.0, True), (0.0, True), (-2.0, False)],
    ids=["same", "nearer to the outcomes", "at the outcomes", "as far back", "far away"],
)
def test_a_refit_may_move_by_the_error_of_the_evaluated_model(kind: str, now: float, passed: bool) -> None:
    evidence, _ = _make(kind, 0.5, now)
    assert NearEvaluated().run(evidence).passed is passed


def test_it_measures_the_mean_distance_of_the_two_models() -> None:
    evidence, rows = _make("number", 0.5, 0.8)
    found = NearEvaluated().run(evidence)
    spread = np.abs(rows.labels - rows.labels.mean()).mean()
    assert found.value == pytest.approx(0.3 * spread)
    allowed = 0.5 * spread + 0.01 * np.abs(rows.labels - np.median(rows.labels)).max()
    assert found.wanted == f"a mean difference of at most {allowed:.4g}"
    assert found.explanation.startswith("over 200 held-out rows the two models' answers differ by")


def test_rows_count_by_their_weight() -> None:
    evidence, rows = _make("number", 0.5, 0.8, with_weight=True)
    distances = 0.3 * np.abs(rows.labels - rows.labels.mean())
    assert NearEvaluated().run(evidence).value == pytest.approx(np.average(distances, weights=rows.weights))


def test_a_narrower_bound_stops_what_a_wider_one_lets_pass() -> None:
    evidence, _ = _make("number", 0.0, 0.8)
    assert [NearEvaluated(at_most=bound).run(evidence).passed for bound in (1.0, 0.1)] == [True, False]


def test_of_a_model_that_is_nearly_right_a_hundredth_is_allowed() -> None:
    evidence, _ = _make("binary", 1.0, 0.99)
    assert NearEvaluated().run(evidence).passed
    far, _ = _make("binary", 1.0, 0.9)
    assert not NearEvaluated().run(far).passed


def test_answers_that_are_no_numbers_do_not_pass() -> None:
    evidence, rows = _make("number", 0.5, 0.5)
    broken = {**evidence.answers, "value": np.full(len(rows), np.nan)}
    assert not NearEvaluated().run(replace(evidence, answers=broken)).passed
