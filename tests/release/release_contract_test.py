"""The contract that a release holds."""

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from support.releases import make_files, make_release
from support.wires import next_major

from athanor.contract.descriptors import to_descriptors
from athanor.contract.v1 import options_pb2
from athanor.errors import ReleaseError
from athanor.release.files import CONTRACT, DESCRIPTORS
from projects.delays.model import MODEL


def test_a_release_holds_its_contract(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    assert release.contract.wire == MODEL.contract.wire == release.json(CONTRACT)
    assert release.contract.row is not MODEL.contract.row


def test_protobuf_files_that_declare_another_contract_are_refused(tmp_path: Path) -> None:
    declared = FileDescriptorSet.FromString(to_descriptors(MODEL.contract))
    row = next(found for found in declared.file[-1].message_type if found.name == MODEL.contract.row.name)
    distance = next(field for field in row.field if field.name == "distance")
    distance.options.Extensions[options_pb2.column].maximum += 1
    release = make_release(tmp_path, descriptors=declared.SerializeToString())
    with pytest.raises(ReleaseError, match=f"{DESCRIPTORS} is corrupted .* says {MODEL.contract.fingerprint}"):
        _ = release.contract


def test_a_release_of_another_model_than_its_proto_package_makes_is_refused(tmp_path: Path) -> None:
    later = next_major()
    release = make_release(
        tmp_path,
        contract=later.fingerprint,
        descriptors=to_descriptors(later),
        files={**make_files(), CONTRACT: json.dumps(later.wire).encode()},
    )
    expected = r"is of the model delays, and its proto package delays\.v2 makes the model delays\.v2: train it again"
    with pytest.raises(ReleaseError, match=expected):
        _ = release.contract


def test_protobuf_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    release = make_release(tmp_path, descriptors=b"\xff")
    with pytest.raises(ReleaseError, match=f"{DESCRIPTORS}: the contract's protobuf files cannot be read"):
        _ = release.contract
