"""Importance is measured with the graph, and shows which columns it uses."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support.flights import make_columns
from support.model_graphs import INPUTS, open_graph
from support.releases import make_graph

from athanor.contract.columns import Columns
from athanor.release.graph import Graph
from athanor.tasks.tasks import task_of
from athanor.training.card.importance import measure_importance
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows
from projects.delays.model import MODEL

_TASK: Final = task_of(MODEL.contract)


def _evidence(rows: int = 2_000, seed: int = 0) -> Evidence:
    """Of a graph that looks at the distance alone, of flights that are late if they are far enough."""
    columns = make_columns(rows)
    columns["arrived_late"] = (columns["distance"] > 3_000).astype(np.float64)
    graph = make_graph()
    answers = open_graph(graph).answer(columns)
    baseline = {name: np.full(rows, 0.5) for name in answers}
    return Evidence(
        MODEL, _TASK, Rows.make(_TASK, MODEL, columns), Fitted(None, _TASK), graph, answers, baseline, seed=seed
    )


def test_only_columns_that_the_graph_uses_are_important() -> None:
    found = measure_importance(_evidence())
    assert next(iter(found)) == "distance"
    assert found["distance"] > 0.3
    assert {name for name, loss in found.items() if loss} == {"distance"}
    assert found.keys() == {*INPUTS.numbers, *INPUTS.instants, *INPUTS.texts}


def test_a_shuffled_column_leaves_the_order_of_chance() -> None:
    """The first metric of the task, the area under the ROC curve, is 0.5 then."""
    evidence = _evidence()
    whole = roc_auc_score(evidence.rows.labels, evidence.answers[MODEL.contract.prediction.name])
    assert measure_importance(evidence)["distance"] == pytest.approx(whole - 0.5, abs=0.05)


def test_texts_are_shuffled_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that looks at a text cannot be made by hand in a few lines; its answers can."""
    columns = make_columns(500)
    columns["arrived_late"] = (columns["origin"] == "JFK").astype(np.float64)

    def ask(_: Graph, columns: Columns) -> Columns:
        return {MODEL.contract.prediction.name: np.asarray(columns["origin"] == "JFK", dtype=np.float64)}

    monkeypatch.setattr(Graph, "answer", ask)
    found = measure_importance(replace(_evidence(500), rows=Rows.make(_TASK, MODEL, columns)))
    assert {name for name, loss in found.items() if loss} == {"origin"}


def test_the_same_seed_gives_the_same_and_another_one_another() -> None:
    first = measure_importance(_evidence())
    assert measure_importance(_evidence()) == first
    assert list(measure_importance(_evidence())) == list(first)
    assert measure_importance(_evidence(seed=1)) != first


def test_the_evidence_is_not_modified() -> None:
    evidence = _evidence()
    before = {name: values.copy() for name, values in evidence.rows.columns.items()}
    measure_importance(evidence)
    for name, values in evidence.rows.columns.items():
        np.testing.assert_array_equal(values, before[name])


def test_not_more_than_five_thousand_rows_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    answer = Graph.answer

    def watch(graph: Graph, columns: Columns) -> Columns:
        asked.append(len(columns["distance"]))
        return answer(graph, columns)

    evidence = _evidence(7_000)
    monkeypatch.setattr(Graph, "answer", watch)
    measure_importance(evidence)
    assert set(asked) == {5_000}
    assert len(asked) == 1 + 2 * len(INPUTS.numbers + INPUTS.instants + INPUTS.texts)


def test_without_positive_rows_importance_is_empty() -> None:
    columns = make_columns(100)
    columns["arrived_late"] = np.zeros(100)
    assert measure_importance(replace(_evidence(100), rows=Rows.make(_TASK, MODEL, columns))) == {}
