"""One graph of features, pipeline and calibration. A release whose graph differs is refused: see the gate's tests."""

import json
import subprocess
import sys
from typing import Any, Final

import numpy as np
import onnx
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.evidence import TASK, read
from support.flights import make_columns
from support.model_graphs import open_graph

from athanor.contract.columns import Columns, Kind
from athanor.contract.inputs import INSTANTS, NUMBERS, TEXTS, GraphInputs
from athanor.features.arrays import Arrays
from athanor.features.features import Features, Model
from athanor.features.texts import look_up
from athanor.release.answers import TOLERANCE
from athanor.release.graph import ANSWERS, CATEGORICAL, NUMERIC, Graph
from athanor.release.manifest import Calibration
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Rows, compute_frame
from projects.delays.model import MODEL

_ROWS: Final = Rows.make(TASK, MODEL, make_columns(300))
_CALIBRATION: Final = Calibration(slope=1.5, intercept=-0.5)


def _fit(classifier: Any = None, *names: str) -> Any:
    """A classifier of some features; of numbers and texts by default."""
    features = MODEL.features
    numeric = [name for name in names or ("distance", "departure_sin") if name in features.numeric]
    categorical = [name for name in names or ("origin", "carrier") if name in features.categorical]
    transformer = ColumnTransformer(
        [
            ("numeric", SimpleImputer(), features.position(*numeric)),
            (
                "categorical",
                OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                features.position(*categorical),
            ),
        ]
    )
    classifier = classifier or LogisticRegression(max_iter=1_000)
    return make_pipeline(transformer, classifier).fit(_ROWS.frame, _ROWS.labels)


def _make_odd_columns() -> Columns:
    """Each value of a column that is odd for its kind, beside usual ones."""
    odd: dict[Kind, list[Any]] = {
        Kind.TEXT: ["", "??", "ü", "飛\0", "a" * 10_000],
        Kind.TIMESTAMP: [np.datetime64(text, "us") for text in ("NaT", "0001-01-01", "9999-12-31T23:59:59.999999")],
    }
    columns = []
    for column in MODEL.contract.columns:
        values = odd.get(column.kind, [np.nan, 0.0, -0.0, column.minimum, column.maximum])
        usual = {name: array[: len(values)].copy() for name, array in _ROWS.columns.items()}
        usual[column.name][:] = values
        columns.append(usual)
    return {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}


@pytest.mark.parametrize("columns", [_ROWS.columns, _make_odd_columns()], ids=["usual", "odd"])
@pytest.mark.parametrize(
    "pipeline",
    [
        pytest.param(_fit(), id="linear"),
        pytest.param(_fit(HistGradientBoostingClassifier(max_iter=10)), id="boosting"),
    ],
)
def test_the_graph_answers_as_features_and_pipeline_do_one_after_the_other(pipeline: Any, columns: Columns) -> None:
    expected = pipeline.predict_proba(compute_frame(MODEL, columns))[:, 1]
    graph = open_graph(compile_model(MODEL, pipeline))
    np.testing.assert_allclose(read(graph.answer(columns)), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("names", [("distance",), ("origin",)])
def test_a_pipeline_may_use_numbers_or_texts_alone(names: tuple[str, ...]) -> None:
    pipeline = _fit(None, *names)
    answers, features = open_graph(compile_model(MODEL, pipeline)).answer_with_features(_ROWS.columns)
    np.testing.assert_allclose(read(answers), pipeline.predict_proba(_ROWS.frame)[:, 1], rtol=0, atol=TOLERANCE)
    assert (features.numeric.shape, features.categorical.shape) == ((300, 19), (300, 3))


def test_features_may_use_newer_operators_than_converters_do() -> None:
    """A look-up of texts needs version 4 of the machine-learning operators, skl2onnx knows version 3."""

    def compute(columns: Arrays) -> Arrays:
        return {"fleet": look_up(columns["carrier"], {"AA": 950, "UA": 970}), "origin": columns["origin"]}

    model = Model(MODEL.contract, Features(("fleet",), ("origin",), compute))
    frame = compute_frame(model, _ROWS.columns)
    encode = ColumnTransformer(
        [
            ("numeric", SimpleImputer(), [0]),
            ("categorical", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [1]),
        ]
    )
    for classifier in (LogisticRegression(max_iter=1_000), HistGradientBoostingClassifier(max_iter=5)):
        pipeline = make_pipeline(encode, classifier).fit(frame, _ROWS.labels)
        graph = Graph(compile_model(model, pipeline), GraphInputs.of(MODEL.contract.columns))
        found = graph.answer(_ROWS.columns)[MODEL.contract.prediction.name]
        np.testing.assert_allclose(found, pipeline.predict_proba(frame)[:, 1], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("calibration", [None, _CALIBRATION])
def test_the_features_are_outputs_too(calibration: Calibration | None) -> None:
    graph = open_graph(compile_model(MODEL, _fit(), calibration))
    answers, features = graph.answer_with_features(_ROWS.columns)
    np.testing.assert_array_equal(read(answers), read(graph.answer(_ROWS.columns)))
    alone = open_graph(MODEL.graph).compute_features(_ROWS.columns)
    for found in (features, graph.compute_features(_ROWS.columns)):
        np.testing.assert_array_equal(found.numeric, alone.numeric)
        np.testing.assert_array_equal(found.categorical, alone.categorical)
    assert (graph.numeric, graph.categorical) == (MODEL.features.numeric, MODEL.features.categorical)


def test_a_graph_says_what_it_takes_and_gives_in_standard_operators() -> None:
    """No code of its own: the operators of ONNX and of its machine-learning part."""
    model = onnx.load_from_string(compile_model(MODEL, _fit(), _CALIBRATION))
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in model.graph.input] == [NUMBERS, INSTANTS, TEXTS]
    assert [each.name for each in model.graph.output] == [NUMERIC, CATEGORICAL, ANSWERS]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}
    assert [opset.domain for opset in model.opset_import] == ["", "ai.onnx.ml"]
    assert not model.functions
    names = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert names == {
        NUMERIC: [*MODEL.features.numeric],
        CATEGORICAL: [*MODEL.features.categorical],
        ANSWERS: ["late_probability"],
    }


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert compile_model(MODEL, _fit(), _CALIBRATION) == compile_model(MODEL, _fit(), _CALIBRATION)


def test_the_bytes_do_not_depend_on_the_seed_of_hashes() -> None:
    """A release's digest would."""
    code = (
        "import hashlib; from training.compile.model_test import *; from training.compile import model_test as t;"
        "print(hashlib.sha256(compile_model(MODEL, t._fit(), t._CALIBRATION)).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
