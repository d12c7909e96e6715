"""Running a release: it answers as its graph says, and refuses code that it was not made with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.flights import make_columns, make_flight
from support.releases import expected_probability, make_files, make_graph, make_release

from athanor.contract.messages import to_columns
from athanor.errors import ReleaseError
from athanor.features.features import Features, Model
from athanor.release.predictor import TOLERANCE, Graph, Predictor
from projects.delays.model import MODEL


@pytest.mark.parametrize("length", [0, 1, 7, 1_000])
def test_it_answers_what_the_graph_says_whatever_the_number_of_rows(tmp_path: Path, length: int) -> None:
    columns = make_columns(length)
    found = Predictor(make_release(tmp_path), MODEL).predict(columns)
    assert found.dtype == np.float64
    assert found.shape == (length,)
    expected = [expected_probability(distance) for distance in columns["distance"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_it_needs_nothing_of_the_outcome(tmp_path: Path) -> None:
    columns = make_columns(5)
    del columns["arrived_late"]
    assert len(Predictor(make_release(tmp_path), MODEL).predict(columns)) == 5


@pytest.mark.parametrize("what", ["model", "contract", "features"])
def test_a_release_made_with_other_code_is_refused_by_both_digests(tmp_path: Path, what: str) -> None:
    changed: dict[str, Any] = {what: "f" * 64}
    release = make_release(tmp_path, **changed)
    here = {"model": MODEL.name, "contract": MODEL.contract.fingerprint, "features": MODEL.features.digest}[what]
    with pytest.raises(
        ReleaseError, match=f"release {release.digest} was trained with {what} {'f' * 64}; this binary has {here}"
    ):
        Predictor(release, MODEL)


def test_features_that_changed_since_are_refused(tmp_path: Path) -> None:
    names = MODEL.features.numeric
    turned = Features((*names[1:], names[0]), MODEL.features.categorical, MODEL.features.compute)
    with pytest.raises(ReleaseError, match="was trained with features"):
        Predictor(make_release(tmp_path), Model(MODEL.contract, turned))


def test_a_graph_that_answers_otherwise_than_its_reference_rows_say_is_refused(tmp_path: Path) -> None:
    release = make_release(tmp_path, make_files(model=make_graph(middle=1_001)))
    with pytest.raises(ReleaseError, match=f"release {release.digest} answers reference row .* allowed is 1e-06"):
        Predictor(release, MODEL)


def test_a_difference_within_the_tolerance_is_accepted(tmp_path: Path) -> None:
    Predictor(make_release(tmp_path, make_files(model=make_graph(middle=1_000.001))), MODEL)


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no graph", id="no graph"),
        pytest.param(make_graph()[:-20], id="cut short"),
        pytest.param(make_graph(width=18), id="of other features"),
        pytest.param(make_graph(output="scores"), id="without probabilities"),
        pytest.param(make_graph().replace(b"numeric", b"NUMERIC"), id="with other inputs"),
    ],
)
def test_a_graph_that_cannot_be_run_is_refused(tmp_path: Path, graph: bytes) -> None:
    with pytest.raises(ReleaseError, match=r"model\.onnx cannot be run"):
        Predictor(make_release(tmp_path, make_files(model=graph)), MODEL)


def test_a_graph_may_look_at_numbers_alone() -> None:
    features = MODEL.features(make_columns(3))
    assert Graph(make_graph()).predict_probability(features).shape == (3,)


def test_it_answers_the_rows_of_messages(tmp_path: Path) -> None:
    rows: list[Any] = [make_flight(distance=distance) for distance in (100, 1_000, 5_000)]
    found = Predictor(make_release(tmp_path), MODEL).predict(to_columns(MODEL.contract.columns, rows))
    np.testing.assert_allclose(found, [expected_probability(d) for d in (100, 1_000, 5_000)], rtol=0, atol=TOLERANCE)
    assert found[1] == 0.5
