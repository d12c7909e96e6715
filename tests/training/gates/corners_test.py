"""Models that cannot answer what their contract allows are stopped, though every row that was held out is answered."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from support.things import make_model, make_things

from athanor.contract.inputs import GraphInputs
from athanor.features.arrays import xp
from athanor.features.features import Features, Model
from athanor.release.graph import Graph
from athanor.tasks.tasks import task_of
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows
from athanor.training.gates.artefact import Parity
from athanor.training.gates.corners import Corners

_IGNORING: Final = OneHotEncoder(handle_unknown="ignore")


def _gather(kind: str, numeric: Any, categorical: Any, estimator: Any) -> Evidence:
    """Of a pipeline that was fitted, and held-out rows, without a gap."""
    model = make_model(kind)
    task = task_of(model.contract)
    past, later = (Rows.make(task, model, make_things(kind, seed=seed)) for seed in (0, 1))
    columns = ColumnTransformer([("n", numeric, [0, 1, 2, 3]), ("c", categorical, [4, 5])])
    fitted = Fitted(make_pipeline(columns, estimator).fit(past.frame, past.labels), task)
    graph = compile_model(model, fitted.pipeline)
    answers = _open(model, graph).answer(later.columns)
    return Evidence(model, task, later, fitted, graph, answers, baseline=answers)


def _open(model: Model, graph: bytes) -> Graph:
    return Graph(graph, GraphInputs.of(model.contract.columns))


@pytest.fixture(scope="module")
def good() -> Evidence:
    return _gather("binary", "passthrough", _IGNORING, DecisionTreeClassifier(max_depth=4, random_state=0))


def test_a_model_that_copes_with_all_passes(good: Evidence) -> None:
    result = Corners().run(good)
    assert result.passed
    # Six columns missing, two of unseen texts, two bounds of the count, and both missing and unseen together.
    assert result.explanation.startswith("after 12 changes of 20 rows all answers are valid, and the largest")


@pytest.mark.parametrize("kind", ["multiclass", "regression", "count"])
def test_every_kind_of_label_is_checked(kind: str) -> None:
    estimator = (
        DecisionTreeClassifier(max_depth=4, random_state=0)
        if kind == "multiclass"
        else DecisionTreeRegressor(max_depth=4, random_state=0)
    )
    result = Corners().run(_gather(kind, "passthrough", _IGNORING, estimator))
    assert result.passed, result.explanation


def test_a_missing_value_that_no_row_lacked_is_found() -> None:
    evidence = _gather("binary", StandardScaler(), _IGNORING, LogisticRegression())
    assert Parity().run(evidence).passed
    result = Corners().run(evidence)
    assert not result.passed
    assert "5 of 12 changes of 20 rows have no such answer: where size is missing, there is no answer: " in (
        result.explanation
    )
    assert "contains NaN" in result.explanation
    assert result.explanation.endswith(
        "; and 2 more. Let the features or an encoder cope with it, use another "
        "estimator, or let the contract allow less"
    )


def test_a_text_that_no_row_has_is_found() -> None:
    evidence = _gather("binary", SimpleImputer(), OneHotEncoder(), LogisticRegression())
    result = Corners().run(evidence)
    assert not result.passed
    assert (
        "where color has not been seen, there is no answer: Found unknown categories ['unseen']" in result.explanation
    )


def test_an_answer_that_is_no_number_is_found(good: Evidence) -> None:
    linear = _gather("binary", "passthrough", _IGNORING, make_pipeline(StandardScaler(), LogisticRegression()))
    result = Corners().run(replace(good, graph=linear.graph))
    assert not result.passed
    assert "where size is missing, probability is nan; allowed is a number from 0 to 1; " in result.explanation


def test_a_feature_that_is_infinite_at_a_bound_is_found() -> None:
    """Its logarithm is finite in every row that was held out."""
    features = Features(("left",), (), lambda columns: {"left": xp.log(8.0 - columns["count"])})
    model = Model(make_model("binary").contract, features)
    task = task_of(model.contract)
    columns = make_things("binary")
    rows = Rows.make(task, model, {**columns, "count": np.minimum(columns["count"], 7.0)})
    fitted = Fitted(
        make_pipeline(SimpleImputer(), DecisionTreeClassifier(max_depth=2)).fit(rows.frame, rows.labels), task
    )
    graph = compile_model(model, fitted.pipeline)
    answers = _open(model, graph).answer(rows.columns)
    result = Corners().run(Evidence(model, task, rows, fitted, graph, answers, baseline=answers))
    assert not result.passed
    assert "where count is as large as it may be, 8.0, there is no answer: " in result.explanation
    assert "left is infinite in 20 of 20 rows" in result.explanation


def test_another_graph_is_found(good: Evidence) -> None:
    """It differs where a value is missing, and nowhere else."""
    other = _gather("binary", SimpleImputer(), _IGNORING, DecisionTreeClassifier(max_depth=4, random_state=0))
    mixed = replace(good, graph=other.graph)
    assert Parity().run(mixed).passed
    result = Corners().run(mixed)
    assert not result.passed
    assert result.value is not None
    assert result.value > 0.1
    assert "where all that may be missing is missing, the graph answers 0." in result.explanation


def test_the_answers_to_other_rows_are_of_no_account(good: Evidence) -> None:
    """It asks its own."""
    assert Corners().run(replace(good, answers={"probability": np.full(len(good.rows), np.nan)})).passed
