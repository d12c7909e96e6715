"""Other wires of the contract of the tests, as the next release of a project may have them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from support.protos import make_field
from support.releases import MIDDLE, make_files, make_release

from athanor.contract.contract import Contract
from athanor.contract.descriptors import from_descriptors, to_descriptors
from athanor.contract.v1 import options_pb2
from athanor.release.files import CONTRACT, Release
from projects.delays.model import MODEL


def edit_row(edit: Callable[[DescriptorProto], object], contract: Contract = MODEL.contract) -> Contract:
    """The contract with another row."""
    declared = FileDescriptorSet.FromString(to_descriptors(contract))
    edit(next(found for found in declared.file[-1].message_type if found.name == contract.row.name))
    names = contract.service.full_name, contract.outcome.full_name
    return from_descriptors(declared.SerializeToString(), *names)


def _options(row: DescriptorProto, name: str) -> Any:
    field: FieldDescriptorProto = next(field for field in row.field if field.name == name)
    return field.options.Extensions[options_pb2.column]


def widen(maximum: float, contract: Contract = MODEL.contract) -> Contract:
    """Allows longer distances, up to some miles."""
    return edit_row(lambda row: setattr(_options(row, "distance"), "maximum", maximum), contract)


def add_column(name: str = "gate", contract: Contract = MODEL.contract, **options: Any) -> Contract:
    """Has an optional text more.

    Args:
        options: further options of the column.
    """
    number = max(field.number for field in contract.row.fields) + 1
    usual = {"description": "A text", "may_be_missing": True, "pattern": ".*", "example": "A1"}
    text = make_field(name, number, "string", **usual, **options)

    def edit(row: DescriptorProto) -> None:
        # As protoc writes `optional`.
        row.oneof_decl.add(name=f"_{name}")
        text.oneof_index = len(row.oneof_decl) - 1
        row.field.append(text)

    return edit_row(edit, contract)


def next_major(contract: Contract = MODEL.contract) -> Contract:
    """The same in the next proto package."""
    return repackage("delays.v2", contract)


def repackage(package: str, contract: Contract = MODEL.contract) -> Contract:
    """The same in another proto package."""
    own = contract.service.file.package
    text = text_format.MessageToString(FileDescriptorSet.FromString(to_descriptors(contract)))
    text = text.replace(own, package).replace(own.replace(".", "/"), package.replace(".", "/"))
    declared = text_format.Parse(text, FileDescriptorSet())
    names = contract.service.full_name, contract.outcome.full_name
    return from_descriptors(declared.SerializeToString(), *(name.replace(own, package) for name in names))


def make_release_of(folder: Path, contract: Contract, middle: float = MIDDLE, **changed: Any) -> Release:
    """A release of another wire that answers `expected_probability`.

    Args:
        changed: as of `make_release`.
    """
    files = {**make_files(middle), CONTRACT: json.dumps(contract.wire, sort_keys=True).encode()}
    return make_release(folder, files, **{**identify(contract), **changed})


def identify(contract: Contract) -> dict[str, Any]:
    """What `make_release` needs to make a release of another contract."""
    own = {"model": contract.name, "contract": contract.fingerprint, "record": {"model": contract.name}}
    return {"descriptors": to_descriptors(contract), **own}
