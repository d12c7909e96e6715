"""Graphs with other predictions, slow graphs and large graphs are stopped."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from support.evidence import read
from support.pipelines import make_pipeline_over

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Evidence
from athanor.training.gates.artefact import GraphSize, Latency, Parity
from athanor.training.gates.gate import Gate
from projects.delays.model import MODEL

Gather = Callable[..., Evidence]


def _with_classifier(classifier: Any) -> Any:
    return make_pipeline(make_pipeline_over("distance", "wind_speed")[0], classifier)


def test_the_graph_of_another_pipeline_is_no_parity(gather: Gather, good: Evidence) -> None:
    other = gather(make_pipeline_over("distance", "wind_speed").set_params(logisticregression__C=0.1))
    result = Parity().run(replace(good, graph=other.graph))
    assert not result.passed
    assert re.match(
        r"of 3,000 rows the largest difference is 0\.0\d+ in row \d+: the graph returns 0\.\d+, the pipeline 0\.\d+",
        result.explanation,
    )
    assert Parity().run(good).passed


def test_its_refusal_names_candidate_column_and_remedies(gather: Gather) -> None:
    """The graph fills in another temperature where it is missing."""
    evidence = gather(make_pipeline_over("distance", "temperature"), candidate="linear")
    other = deepcopy(evidence.fitted.pipeline)
    other[0].named_transformers_["numeric"][0].statistics_[1] += 500
    result = Parity().run(replace(evidence, graph=compile_model(MODEL, other)))
    assert not result.passed
    assert "The graph of candidate 'linear' differs in " in result.explanation
    assert "the cause is temperature, which is missing there. Use another estimator or encoder, " in result.explanation
    assert re.search(r"if this difference does no harm, Parity\(at_most=(0\.\d+|\.\.\.)\)$", result.explanation)


def test_the_bound_that_it_suggests_would_pass(gather: Gather) -> None:
    evidence = gather(_with_classifier(DecisionTreeClassifier(max_depth=4, random_state=0)))
    differing = replace(evidence, graph=gather().graph)
    found = re.search(r"Parity\(at_most=([0-9.e-]+)\)", Parity().run(differing).explanation)
    assert found is not None
    assert Parity(at_most=float(found[1])).run(differing).passed


def test_one_row_that_is_answered_otherwise_is_found_and_named(good: Evidence) -> None:
    distance = good.rows.frame["distance"].iloc[1_234]
    evidence = replace(good, fitted=replace(good.fitted, pipeline=_DifferingAt(good.fitted.pipeline, distance)))
    explanation = Parity().run(evidence).explanation
    assert "in row 1234:" in explanation
    assert "The graph of the pipeline differs in 1 rows; the cause is distance, which is" in explanation
    assert not Parity().run(evidence).passed
    assert Parity(rows=2).run(evidence).passed


class _DifferingAt:
    """A pipeline that answers otherwise at one distance."""

    def __init__(self, pipeline: Any, distance: float) -> None:
        self._pipeline = pipeline
        self.classes_ = pipeline.classes_
        self._distance = distance

    def predict_proba(self, frame: Any) -> Any:
        return np.where(frame[["distance"]] == self._distance, 0.5, 1) * self._pipeline.predict_proba(frame)


def test_a_slow_graph_is_stopped(gather: Gather, good: Evidence) -> None:
    """Each answer of it asks many models; by how much that is slower depends on the machine."""
    quick_ms = Latency(at_most_ms=1_000).run(good).value
    assert quick_ms is not None
    gate = Latency(at_most_ms=4 * quick_ms)
    result = gate.run(gather(_with_classifier(BaggingClassifier(LogisticRegression(), 150, random_state=0))))
    assert not result.passed
    assert re.match(r"of 200 rows, the median is [\d.]+ ms, the 99th percentile [\d.]+ ms", result.explanation)
    assert gate.run(good).passed


def test_latency_can_be_measured_with_more_calls_than_rows(good: Evidence) -> None:
    few = replace(good, rows=good.rows.take(np.arange(3)))
    assert Latency(at_most_ms=1_000, calls=7).run(few).explanation.startswith("of 7 rows")


def test_a_large_graph_is_stopped(gather: Gather, good: Evidence) -> None:
    forest = gather(_with_classifier(RandomForestClassifier(20, random_state=0)))
    gate = GraphSize(at_most_bytes=100_000)
    assert not gate.run(forest).passed
    assert gate.run(forest).explanation == f"the graph has {len(forest.graph):,} bytes"
    assert gate.run(good).passed
    assert GraphSize(at_most_bytes=len(good.graph)).run(good).passed
    assert not GraphSize(at_most_bytes=len(good.graph) - 1).run(good).passed


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Parity(rows=0), "parity of graph and pipeline: rows is 0"),
        (lambda: Parity(at_most=1.0), "at_most is 1"),
        (lambda: Parity(at_most=-1e-9), "at_most is -1e-09"),
        (lambda: Parity(at_most=np.nan), "at_most is nan"),
        (lambda: Latency(at_most_ms=np.inf), "latency of one row: at_most_ms is inf"),
        (lambda: Latency(at_most_ms=np.nan), "at_most_ms is nan"),
        (lambda: Latency(at_most_ms=-1.0), "at_most_ms is -1"),
        (lambda: Latency(at_most_ms=1.0, calls=0), "calls is 0"),
        (lambda: GraphSize(at_most_bytes=0), "size of graph: at_most_bytes is 0"),
    ],
)
def test_a_gate_that_cannot_fail_or_be_understood_is_refused(make: Callable[[], Gate], problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        make()


def test_single_rows_are_rows_of_the_evaluation(good: Evidence) -> None:
    """What is timed is what is served: an answer to one row is the answer to it among all."""
    columns: Columns = {name: values[[42]] for name, values in good.rows.columns.items()}
    assert read(good.predict(columns))[0] == pytest.approx(read(good.answers)[42], abs=1e-6)


def test_a_forest_whose_graph_adds_up_to_a_little_more_than_one_answers_one(gather: Gather) -> None:
    """It adds up trees in single precision, to 1.0000001."""
    forest = gather(_with_classifier(RandomForestClassifier(20, random_state=0)))
    assert read(forest.answers).max() == 1
    assert GraphSize(at_most_bytes=10**9).run(forest).passed
