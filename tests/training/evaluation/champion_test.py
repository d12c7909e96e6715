"""The champion's predictions for the rows on which a new model is evaluated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.flights import make_columns
from support.releases import expected_probability, make_files, make_release

from athanor.features.features import Features, Model
from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.training.evaluation.champion import encode_predictions, predict_with_champion
from athanor.training.evaluation.evidence import Rows
from projects.delays.model import MODEL

_SNAPSHOT, _FROM = "5" * 64, "2013-10-01T00:00:00+00:00"
_ROWS = Rows.make(MODEL, make_columns(50))
_KEPT = np.linspace(0, 1, 50).astype(np.float32).astype(np.float64)


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


def _promote(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    store.write_traffic(
        Traffic(model=MODEL.name, revision=1, champion=Served(digest=release.digest, semantic_version="1.2.0"))
    )


def _other_features() -> Model:
    def compute(columns: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        return {"miles": columns["distance"]}

    return Model(MODEL.contract, Features(("miles",), (), compute))


def test_without_traffic_there_is_no_champion(store: ReleaseStore) -> None:
    assert predict_with_champion(store, MODEL, _ROWS, _SNAPSHOT, _FROM) is None


def test_with_the_same_features_its_graph_is_asked(store: ReleaseStore, tmp_path: Path) -> None:
    release = make_release(tmp_path / "candidates", snapshot="6" * 64)
    _promote(store, release)
    champion = predict_with_champion(store, MODEL, _ROWS, _SNAPSHOT, _FROM)
    assert champion is not None
    assert (champion.semantic_version, champion.digest, champion.reason) == ("1.2.0", release.digest, "")
    assert not champion.is_of_another_major
    expected = [expected_probability(distance) for distance in _ROWS.columns["distance"]]
    assert champion.probabilities is not None
    np.testing.assert_allclose(champion.probabilities, np.array(expected), atol=1e-6)


def test_with_other_features_it_has_given_its_answers_to_the_same_rows(store: ReleaseStore, tmp_path: Path) -> None:
    _promote(store, make_release(tmp_path / "candidates", answers=encode_predictions(_SNAPSHOT, _FROM, _KEPT)))
    champion = predict_with_champion(store, _other_features(), _ROWS, _SNAPSHOT, _FROM)
    assert champion is not None
    np.testing.assert_array_equal(champion.probabilities, _KEPT)


@pytest.mark.parametrize(("snapshot", "test_from"), [("6" * 64, _FROM), (_SNAPSHOT, "2013-11-01T00:00:00+00:00")])
def test_with_other_features_and_rows_there_are_no_predictions_and_a_remedy(
    store: ReleaseStore, tmp_path: Path, snapshot: str, test_from: str
) -> None:
    _promote(store, make_release(tmp_path / "candidates", answers=encode_predictions(_SNAPSHOT, _FROM, _KEPT)))
    champion = predict_with_champion(store, _other_features(), _ROWS, snapshot, test_from)
    assert champion is not None
    assert champion.probabilities is None
    assert "train on that snapshot (--snapshot 0)" in champion.reason


def test_a_champion_whose_callers_would_stumble_is_of_another_major_version(
    store: ReleaseStore, tmp_path: Path
) -> None:
    """The old contract had a column that the new one lacks."""
    wire = dict(MODEL.contract.wire)
    messages = {name: dict(fields) for name, fields in wire["messages"].items()}
    messages[MODEL.contract.row.full_name]["gate"] = [99, 9, False, ""]
    files = make_files(contract=_to_json({**wire, "messages": messages}))
    _promote(store, make_release(tmp_path / "candidates", files))
    champion = predict_with_champion(store, MODEL, _ROWS, _SNAPSHOT, _FROM)
    assert champion is not None
    assert champion.is_of_another_major


def _to_json(wire: Mapping[str, Any]) -> bytes:
    return json.dumps(wire).encode()
