"""The champion's predictions for the rows on which a new model is evaluated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from sklearn.linear_model import LogisticRegression
from support.evidence import TASK, read
from support.flights import make_columns
from support.releases import expected_probability, make_files, make_graph, make_release
from support.wires import next_major

from athanor.contract.contract import Contract
from athanor.contract.descriptors import from_descriptors, to_descriptors
from athanor.features.features import Features, Model
from athanor.release.answers import TOLERANCE
from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.champion import predict_with_champion
from athanor.training.evaluation.evidence import Rows
from projects.delays.model import MODEL

_ROWS = Rows.make(TASK, MODEL, make_columns(50))


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path / "store")


def _promote(store: ReleaseStore, release: Release) -> None:
    store.publish(release)
    store.write_traffic(
        Traffic(model=MODEL.name, revision=1, champion=Served(digest=release.digest, semantic_version="1.2.0"))
    )


def _change(change: Callable[[DescriptorProto], object]) -> Contract:
    """The contract of the project, with another row."""
    declared = FileDescriptorSet.FromString(to_descriptors(MODEL.contract))
    change(next(found for found in declared.file[-1].message_type if found.name == MODEL.contract.row.name))
    names = MODEL.contract.service.full_name, MODEL.contract.outcome.full_name
    return from_descriptors(declared.SerializeToString(), *names)


def _rename(row: DescriptorProto) -> None:
    next(field for field in row.field if field.name == "distance").name = "miles"


def _make_whole(row: DescriptorProto) -> None:
    next(field for field in row.field if field.name == "distance").type = FieldDescriptorProto.TYPE_INT32


def _remove_last(row: DescriptorProto) -> None:
    del row.field[-1], row.oneof_decl[-1]


def _make_champion(folder: Path, contract: Contract, graph: bytes | None = None) -> Release:
    """A release of another contract than the project has now."""
    content = make_files(contract=json.dumps(contract.wire).encode(), model=graph or make_graph())
    return make_release(folder, content, contract=contract.fingerprint, descriptors=to_descriptors(contract))


def test_without_traffic_there_is_no_champion(store: ReleaseStore) -> None:
    assert predict_with_champion(store, MODEL.contract, _ROWS) is None


def test_a_withdrawn_champion_is_no_measure(store: ReleaseStore) -> None:
    store.write_traffic(Traffic(model=MODEL.name, revision=2, champion=None))
    assert predict_with_champion(store, MODEL.contract, _ROWS) is None


@pytest.mark.parametrize("changed", [{}, {"features": "f" * 64}], ids=["same features", "other features"])
def test_its_graph_is_asked_whatever_its_features(store: ReleaseStore, tmp_path: Path, changed: dict[str, Any]) -> None:
    release = make_release(tmp_path / "candidates", snapshot="6" * 64, **changed)
    _promote(store, release)
    champion = predict_with_champion(store, MODEL.contract, _ROWS)
    assert champion is not None
    assert (champion.semantic_version, champion.digest, champion.reason) == ("1.2.0", release.digest, "")
    expected = [expected_probability(distance) for distance in _ROWS.columns["distance"]]
    assert champion.answers is not None
    np.testing.assert_allclose(read(champion.answers), np.array(expected), atol=1e-6)


@pytest.mark.parametrize(("change", "lost"), [(_rename, "miles (number)"), (_make_whole, "distance (integer)")])
def test_without_its_columns_there_are_no_predictions_and_a_reason(
    store: ReleaseStore, tmp_path: Path, change: Callable[[DescriptorProto], None], lost: str
) -> None:
    _promote(store, _make_champion(tmp_path / "candidates", _change(change)))
    champion = predict_with_champion(store, MODEL.contract, _ROWS)
    assert champion is not None
    assert champion.answers is None
    assert champion.reason == f"the champion needs columns that the contract does not have any more: {lost}"


def test_columns_that_are_new_since_are_not_given_to_it(store: ReleaseStore, tmp_path: Path) -> None:
    """Its graph takes one number less."""
    model = Model(_change(_remove_last), Features(("miles",), (), lambda columns: {"miles": columns["distance"]}))
    rows = Rows.make(TASK, model, _ROWS.columns)
    pipeline = LogisticRegression().fit(rows.frame, np.arange(50) % 2)
    _promote(store, _make_champion(tmp_path / "candidates", model.contract, compile_model(model, pipeline)))
    champion = predict_with_champion(store, MODEL.contract, _ROWS)
    assert champion is not None
    assert champion.answers is not None
    np.testing.assert_allclose(read(champion.answers), pipeline.predict_proba(rows.frame)[:, 1], rtol=0, atol=TOLERANCE)


def test_the_champion_of_an_earlier_proto_package_is_no_measure(store: ReleaseStore, tmp_path: Path) -> None:
    """It is the champion of another model."""
    _promote(store, make_release(tmp_path / "candidates"))
    assert predict_with_champion(store, MODEL.contract, _ROWS) is not None
    assert predict_with_champion(store, next_major(), _ROWS) is None
