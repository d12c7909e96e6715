"""Importance is measured with the graph, and shows which columns it uses."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from support.flights import make_columns
from support.model_graphs import INPUTS, open_graph
from support.releases import make_graph

from athanor.contract.columns import Columns
from athanor.release.graph import Graph
from athanor.training.card.importance import measure_importance
from athanor.training.evaluation.evidence import Evidence, Rows
from projects.delays.model import MODEL


def _evidence(rows: int = 2_000, seed: int = 0) -> Evidence:
    """Of a graph that looks at the distance alone, of flights that are late if they are far enough."""
    columns = make_columns(rows)
    columns["arrived_late"] = (columns["distance"] > 3_000).astype(np.float64)
    made = Rows.make(MODEL, columns)
    graph = make_graph()
    answers = open_graph(graph).predict_probability(columns)
    return Evidence(MODEL, made, None, graph, answers, np.full(rows, 0.5), seed=seed)


def test_only_columns_that_the_graph_uses_are_important() -> None:
    found = measure_importance(_evidence())
    assert next(iter(found)) == "distance"
    assert found["distance"] > 0.3
    assert {name for name, loss in found.items() if loss} == {"distance"}
    assert found.keys() == {*INPUTS.numbers, *INPUTS.instants, *INPUTS.texts}


def test_a_shuffled_column_leaves_the_precision_of_chance() -> None:
    evidence = _evidence()
    rate = float(evidence.rows.labels.mean())
    whole = average_precision_score(evidence.rows.labels, evidence.probabilities)
    assert measure_importance(evidence)["distance"] == pytest.approx(whole - rate, abs=0.05)


def test_texts_are_shuffled_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that looks at a text cannot be made by hand in a few lines; its answers can."""
    columns = make_columns(500)
    columns["arrived_late"] = (columns["origin"] == "JFK").astype(np.float64)

    def ask(_: Graph, columns: Columns) -> NDArray[np.float64]:
        return np.asarray(columns["origin"] == "JFK", dtype=np.float64)

    monkeypatch.setattr(Graph, "predict_probability", ask)
    found = measure_importance(replace(_evidence(500), rows=Rows.make(MODEL, columns)))
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
    predict = Graph.predict_probability

    def watch(graph: Graph, columns: Columns) -> NDArray[np.float64]:
        asked.append(len(columns["distance"]))
        return predict(graph, columns)

    evidence = _evidence(7_000)
    monkeypatch.setattr(Graph, "predict_probability", watch)
    measure_importance(evidence)
    assert set(asked) == {5_000}
    assert len(asked) == 1 + 2 * len(INPUTS.numbers + INPUTS.instants + INPUTS.texts)


def test_without_positive_rows_importance_is_empty() -> None:
    columns = make_columns(100)
    columns["arrived_late"] = np.zeros(100)
    assert measure_importance(replace(_evidence(100), rows=Rows.make(MODEL, columns))) == {}
