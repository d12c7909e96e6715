"""The graph answers as the pipeline does, or there is no release."""

from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.flights import make_columns

from athanor.data.tables import join_blocks
from athanor.errors import GateError
from athanor.features.features import FeatureArrays
from athanor.release.predictor import TOLERANCE, Graph
from athanor.training.compilation import compile_pipeline, demand_parity
from projects.flight_delay.model import MODEL

_COLUMNS = make_columns(300)
_ARRAYS = MODEL.features(_COLUMNS)
_LABELS = _COLUMNS["arrived_late"].astype(np.int64)


def _frame(arrays: FeatureArrays) -> Any:
    blocks = ((MODEL.features.numeric, arrays.numeric), (MODEL.features.categorical, arrays.categorical))
    return join_blocks(*blocks)


def _fit(c: float = 1.0) -> Any:
    features = MODEL.features
    transformer = ColumnTransformer(
        [
            ("distance", "passthrough", features.position("distance", "departure_sin")),
            ("origin", OneHotEncoder(handle_unknown="ignore"), features.position("origin", "carrier")),
        ]
    )
    return make_pipeline(transformer, LogisticRegression(C=c, max_iter=1_000)).fit(_frame(_ARRAYS), _LABELS)


def test_the_graph_answers_as_the_pipeline_does() -> None:
    pipeline = _fit()
    graph = compile_pipeline(pipeline, _ARRAYS)
    assert demand_parity(graph, pipeline, _frame(_ARRAYS), _ARRAYS) <= TOLERANCE
    np.testing.assert_allclose(
        Graph(graph).predict_probability(_ARRAYS), pipeline.predict_proba(_frame(_ARRAYS))[:, 1], rtol=0, atol=TOLERANCE
    )


def test_categories_never_seen_and_missing_ones_are_answered_alike() -> None:
    pipeline = _fit()
    strange = _ARRAYS.categorical.copy()
    strange[::2], strange[1::4] = "??", ""
    arrays = FeatureArrays(_ARRAYS.numeric, strange)
    demand_parity(compile_pipeline(pipeline, _ARRAYS), pipeline, _frame(arrays), arrays)


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert compile_pipeline(_fit(), _ARRAYS) == compile_pipeline(_fit(), _ARRAYS)


def test_a_graph_runs_nothing_but_standard_operators() -> None:
    """No code of its own: the operators of ONNX and of its machine-learning part."""
    graph = onnx.load_from_string(compile_pipeline(_fit(), _ARRAYS))
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx.ml"}
    assert {node.name for node in graph.graph.output} >= {"probabilities"}


def test_the_graph_of_another_pipeline_is_refused_by_row_and_difference() -> None:
    graph = compile_pipeline(_fit(c=0.01), _ARRAYS)
    with pytest.raises(GateError, match=r"graph and pipeline differ by 0\.\d+ in row \d+, allowed are 1e-06"):
        demand_parity(graph, _fit(), _frame(_ARRAYS), _ARRAYS)


def test_the_worst_row_is_the_one_named() -> None:
    pipeline = _fit()
    numeric = _ARRAYS.numeric.copy()
    numeric[17, MODEL.features.position("distance")] += 500
    with pytest.raises(GateError, match="in row 17,"):
        demand_parity(
            compile_pipeline(pipeline, _ARRAYS), pipeline, _frame(FeatureArrays(numeric, _ARRAYS.categorical)), _ARRAYS
        )


def test_a_probability_that_is_no_number_is_no_parity() -> None:
    class Broken:
        def predict_proba(self, frame: Any) -> Any:
            return np.full((len(frame), 2), np.nan)

    with pytest.raises(GateError, match="differ by nan"):
        demand_parity(compile_pipeline(_fit(), _ARRAYS), Broken(), _frame(_ARRAYS), _ARRAYS)
