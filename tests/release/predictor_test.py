"""Running a release: it answers as its graph says, and refuses another contract than its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from onnx import ModelProto
from support.commands import environment
from support.flights import make_columns, make_flight
from support.releases import expected_probability, make_files, make_graph, make_release

from athanor.contract.inputs import NUMBERS
from athanor.contract.messages import to_columns
from athanor.errors import ReleaseError
from athanor.release.answers import TOLERANCE
from athanor.release.predictor import Predictor
from projects.delays.model import MODEL


def _with_fewer_numbers() -> bytes:
    model = ModelProto.FromString(make_graph())
    numbers = next(tensor for tensor in model.graph.input if tensor.name == NUMBERS)
    numbers.type.tensor_type.shape.dim[1].dim_value -= 1
    return bytes(model.SerializeToString())


_PREDICTION: Final = MODEL.contract.prediction.name


@pytest.mark.parametrize("length", [0, 1, 7, 1_000])
def test_it_answers_what_the_graph_says_whatever_the_number_of_rows(tmp_path: Path, length: int) -> None:
    columns = make_columns(length)
    found = Predictor(make_release(tmp_path)).predict(columns)[_PREDICTION]
    assert found.dtype == np.float64
    assert found.shape == (length,)
    expected = [expected_probability(distance) for distance in columns["distance"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


_HELD: Final = """
import sys
from pathlib import Path
from support.flights import make_columns
from support.memory import resident_kib
from support.releases import make_release
from athanor.release.predictor import Predictor

columns, release = make_columns(200_000), make_release(Path(sys.argv[1]))
predictors = [Predictor(release) for _ in range(4)]
predictors[0].predict(columns)
before = resident_kib()
for predictor in predictors:
    predictor.predict(columns)
print((resident_kib() - before) // 1024)
"""


def test_a_large_question_leaves_little_memory_behind(tmp_path: Path) -> None:
    """In a replica of many models each of them would keep it. Arenas of the sessions kept 220 MiB more here."""
    command = [sys.executable, "-c", _HELD, str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150


def test_it_needs_nothing_of_the_outcome(tmp_path: Path) -> None:
    columns = make_columns(5)
    del columns["arrived_late"]
    assert len(Predictor(make_release(tmp_path)).predict(columns)[_PREDICTION]) == 5


def test_a_release_with_other_features_than_this_code_has_is_run(tmp_path: Path) -> None:
    """They are part of its graph."""
    release = make_release(tmp_path, features="f" * 64)
    assert len(Predictor(release).predict(make_columns(5))[_PREDICTION]) == 5


def test_it_names_the_features_and_returns_them_with_its_answers(tmp_path: Path) -> None:
    columns = make_columns(50)
    predictor = Predictor(make_release(tmp_path))
    answers, features = predictor.predict_with_features(columns)
    np.testing.assert_array_equal(answers[_PREDICTION], predictor.predict(columns)[_PREDICTION])
    assert (predictor.numeric, predictor.categorical) == (MODEL.features.numeric, MODEL.features.categorical)
    at = {name: features.numeric[:, position] for position, name in enumerate(predictor.numeric)}
    np.testing.assert_array_equal(at["distance"], columns["distance"].astype(np.float32))
    np.testing.assert_array_equal(
        features.categorical, np.column_stack([columns[name] for name in predictor.categorical])
    )


def test_a_graph_that_answers_otherwise_than_its_reference_rows_say_is_refused(tmp_path: Path) -> None:
    release = make_release(tmp_path, make_files(model=make_graph(middle=1_001)))
    with pytest.raises(ReleaseError, match=f"release {release.digest} answers reference row .* allowed is 1e-06"):
        Predictor(release)


def test_a_difference_within_the_tolerance_is_accepted(tmp_path: Path) -> None:
    Predictor(make_release(tmp_path, make_files(model=make_graph(middle=1_000.001))))


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no graph", id="no graph"),
        pytest.param(make_graph()[:-20], id="cut short"),
        pytest.param(_with_fewer_numbers(), id="of another contract"),
        pytest.param(make_graph(output="scores"), id="without probabilities"),
        pytest.param(make_graph().replace(b"numbers", b"NUMBERS"), id="with other inputs"),
    ],
)
def test_a_graph_that_cannot_be_run_is_refused(tmp_path: Path, graph: bytes) -> None:
    with pytest.raises(ReleaseError, match=r"model\.onnx cannot be run"):
        Predictor(make_release(tmp_path, make_files(model=graph)))


def test_it_answers_the_rows_of_messages(tmp_path: Path) -> None:
    rows: list[Any] = [make_flight(distance=distance) for distance in (100, 1_000, 5_000)]
    found = Predictor(make_release(tmp_path)).predict(to_columns(MODEL.contract.columns, rows))[_PREDICTION]
    np.testing.assert_allclose(found, [expected_probability(d) for d in (100, 1_000, 5_000)], rtol=0, atol=TOLERANCE)
    assert found[1] == 0.5
