"""The graph answers as the pipeline does. That a release is refused where it does not is tested with the gate."""

from typing import Any

import numpy as np
import onnx
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.flights import make_columns

from athanor.data.tables.tables import join_blocks
from athanor.features.features import FeatureArrays
from athanor.release.predictor import TOLERANCE, Graph
from athanor.training.compile.onnx_graph import compile_pipeline
from projects.delays.model import MODEL

_COLUMNS = make_columns(300)
_ARRAYS = MODEL.features(_COLUMNS)
_LABELS = _COLUMNS["arrived_late"].astype(np.int64)


def _frame(arrays: FeatureArrays) -> Any:
    blocks = ((MODEL.features.numeric, arrays.numeric), (MODEL.features.categorical, arrays.categorical))
    return join_blocks(*blocks)


def _fit() -> Any:
    features = MODEL.features
    transformer = ColumnTransformer(
        [
            ("distance", "passthrough", features.position("distance", "departure_sin")),
            ("origin", OneHotEncoder(handle_unknown="ignore"), features.position("origin", "carrier")),
        ]
    )
    return make_pipeline(transformer, LogisticRegression(max_iter=1_000)).fit(_frame(_ARRAYS), _LABELS)


def test_the_graph_answers_as_the_pipeline_does() -> None:
    pipeline = _fit()
    graph = compile_pipeline(pipeline, _ARRAYS)
    np.testing.assert_allclose(
        Graph(graph).predict_probability(_ARRAYS), pipeline.predict_proba(_frame(_ARRAYS))[:, 1], rtol=0, atol=TOLERANCE
    )


def test_categories_never_seen_and_missing_ones_are_answered_alike() -> None:
    pipeline = _fit()
    strange = _ARRAYS.categorical.copy()
    strange[::2], strange[1::4] = "??", ""
    arrays = FeatureArrays(_ARRAYS.numeric, strange)
    np.testing.assert_allclose(
        Graph(compile_pipeline(pipeline, _ARRAYS)).predict_probability(arrays),
        pipeline.predict_proba(_frame(arrays))[:, 1],
        rtol=0,
        atol=TOLERANCE,
    )


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert compile_pipeline(_fit(), _ARRAYS) == compile_pipeline(_fit(), _ARRAYS)


def test_a_graph_runs_nothing_but_standard_operators() -> None:
    """No code of its own: the operators of ONNX and of its machine-learning part."""
    graph = onnx.load_from_string(compile_pipeline(_fit(), _ARRAYS))
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx.ml"}
    assert {node.name for node in graph.graph.output} >= {"probabilities"}
