"""Cells of types that the example's columns do not have."""

from typing import Any, Final

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from athanor.client.files.cells import CellError, set_cell

_TYPES: Final = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}


@pytest.fixture
def row() -> Message:
    """An empty row with an optional column named for each type, and a repeated one."""
    message = DescriptorProto(name="Row")
    for number, (name, kind) in enumerate(_TYPES.items(), start=1):
        optional = FieldDescriptorProto.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=optional)
    repeated = FieldDescriptorProto.LABEL_REPEATED
    message.field.add(name="repeated", number=100, type=FieldDescriptorProto.TYPE_INT32, label=repeated)
    pool = DescriptorPool()
    pool.Add(FileDescriptorProto(name="row.proto", package="cells", syntax="proto2", message_type=[message]))
    return GetMessageClass(pool.FindMessageTypeByName("cells.Row"))()


def _field(row: Message, column: str) -> Any:
    return row.DESCRIPTOR.fields_by_name[column]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("bool", "true", True),
        ("bool", "FALSE", False),
        ("bool", "1", True),
        ("bool", "0", False),
        ("float", "0.5", 0.5),
        ("int64", "-9223372036854775808", -(2**63)),
        ("uint32", "4294967295", 2**32 - 1),
        ("uint64", "18446744073709551615", 2**64 - 1),
    ],
)
def test_a_cell_is_read(row: Message, column: str, text: str, value: Any) -> None:
    set_cell(row, _field(row, column), text)
    assert getattr(row, column) == value


@pytest.mark.parametrize("column", _TYPES)
def test_an_empty_cell_is_missing(row: Message, column: str) -> None:
    set_cell(row, _field(row, column), "")
    assert not row.HasField(column)


@pytest.mark.parametrize(
    ("column", "text", "allowed"),
    [
        ("bool", "yes", "true or false"),
        ("bytes", "x", "this column in JSON lines, as no cell can hold it"),
        ("float", "1e39", "a finite 32-bit number"),
        ("int64", "9223372036854775808", "a 64-bit whole number"),
        ("repeated", "1", "this column in JSON lines, as no cell can hold it"),
        ("uint32", "-1", "a whole number from 0 to 4294967295"),
        ("uint64", "-1", "a 64-bit whole number, not negative"),
    ],
)
def test_an_invalid_cell_is_refused(row: Message, column: str, text: str, allowed: str) -> None:
    with pytest.raises(CellError) as refused:
        set_cell(row, _field(row, column), text)
    assert str(refused.value) == allowed
