"""A contract read from bytes is the same contract, beside any other version of it."""

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass
from support.flights import make_columns
from support.protos import Toy

from athanor.contract.contract import Contract
from athanor.contract.descriptors import from_descriptors, to_descriptors
from athanor.contract.messages import to_columns, to_messages
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_CONTRACT = MODEL.contract
_NAMES = (_CONTRACT.service.full_name, _CONTRACT.outcome.full_name)


def _restore(contract: Contract) -> Contract:
    return from_descriptors(to_descriptors(contract), contract.service.full_name, contract.outcome.full_name)


@pytest.mark.parametrize("contract", [_CONTRACT, Toy().read()], ids=["delays", "toy"])
def test_a_restored_contract_says_the_same(contract: Contract) -> None:
    restored = _restore(contract)
    assert (restored.wire, restored.budgets_digest) == (contract.wire, contract.budgets_digest)
    assert (restored.columns, restored.outcome_columns) == (contract.columns, contract.outcome_columns)
    assert restored.row is not contract.row
    assert to_descriptors(restored) == to_descriptors(contract)


def test_messages_of_a_restored_contract_are_read_from_callers_bytes() -> None:
    columns = make_columns(50)
    sent = [message.SerializeToString() for message in to_messages(_CONTRACT.columns, columns, delays_pb2.Flight)]
    restored = _restore(_CONTRACT)
    received = [GetMessageClass(restored.row).FromString(content) for content in sent]
    for name, values in to_columns(restored.columns, received).items():
        np.testing.assert_array_equal(values, columns[name])
    as_json = json_format.MessageToJson(received[0])
    assert json_format.Parse(as_json, delays_pb2.Flight()).SerializeToString() == sent[0]


def test_two_versions_of_one_package_stand_side_by_side() -> None:
    wider = Toy()
    wider.column("amount").maximum = 10
    other, usual = _restore(wider.read()), _restore(Toy().read())
    assert other.service.full_name == usual.service.full_name
    assert other.column("amount").maximum == 10 != usual.column("amount").maximum


def _without_the_last_file() -> bytes:
    declared = FileDescriptorSet.FromString(to_descriptors(_CONTRACT))
    del declared.file[-1]
    return declared.SerializeToString()


def _without_the_first_file() -> bytes:
    declared = FileDescriptorSet.FromString(to_descriptors(_CONTRACT))
    del declared.file[0]
    return declared.SerializeToString()


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 9, to_descriptors(_CONTRACT)[:-5], _without_the_last_file(), _without_the_first_file()],
    ids=["empty", "no protobuf", "cut", "without its service", "without an import"],
)
def test_other_bytes_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(ContractError, match="the contract's protobuf files cannot be read: "):
        from_descriptors(content, *_NAMES)


def test_files_without_a_contract_are_refused() -> None:
    declared = FileDescriptorSet.FromString(to_descriptors(_CONTRACT))
    for message in declared.file[-1].message_type:
        for field in message.field:
            field.options.Extensions[options_pb2.column].description = ""
    with pytest.raises(ContractError, match="description is empty"):
        from_descriptors(declared.SerializeToString(), *_NAMES)
