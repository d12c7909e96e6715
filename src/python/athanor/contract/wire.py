"""The wire format of a contract: what callers and stored rows rely on in its messages, as JSON values.

What is usual is left out, so that it changes no fingerprint. Unusual are JSON names other than protobuf's own, oneofs,
presence of fields that are no columns, reserved numbers and names, enums, packages of other languages, and other names
of the request and the response.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from athanor.contract.columns import is_column

Wire: TypeAlias = Mapping[str, Any]
"""`Contract.wire`, or a part of it."""

_GOOGLE: Final = "google.protobuf."
USUAL_TYPES: Final = {"request": "PredictRequest", "response": "PredictResponse"}
"""Names of the messages of `Predict`."""


def describe_types(method: MethodDescriptor) -> dict[str, str]:
    """Request and response of a method, where their names are unusual."""
    types = {"request": method.input_type, "response": method.output_type}
    return {part: message.full_name for part, message in types.items() if message.name != USUAL_TYPES[part]}


def describe_wire(messages: Iterable[Descriptor]) -> dict[str, Any]:
    """The wire format of these messages and of everything that they refer to, but for protobuf's own types."""
    reached = {message.full_name: message for message in messages}
    for message in list(reached.values()):
        _reach(message, reached)
    enums = {enum.full_name: enum for found in reached.values() for enum in _list_enums(found)}
    files = {message.file.name: message.file for message in reached.values()}
    optional = {
        "enums": {name: _describe_enum(enum) for name, enum in enums.items()},
        "reserved": {
            **{name: found for name, message in reached.items() if (found := _list_reserved(message))},
            **{name: found for name, enum in enums.items() if (found := _list_reserved_values(enum))},
        },
        "packages": dict(sorted(package for file in files.values() for package in _list_packages(file))),
    }
    return {
        "messages": {name: _describe_message(found) for name, found in reached.items()},
        **{part: found for part, found in optional.items() if found},
    }


def default_json_name(name: str) -> str:
    """The name that protobuf gives a field in JSON: "late_probability" is "lateProbability"."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def _reach(message: Descriptor, reached: dict[str, Descriptor]) -> None:
    for field in message.fields:
        other = field.message_type
        if other is not None and other.full_name not in reached and not other.full_name.startswith(_GOOGLE):
            reached[other.full_name] = other
            _reach(other, reached)


def _list_enums(message: Descriptor) -> Iterator[EnumDescriptor]:
    return (field.enum_type for field in message.fields if field.enum_type is not None)


def _declare(message: Descriptor) -> DescriptorProto:
    declared = DescriptorProto()
    message.CopyToProto(declared)
    return declared


def _describe_message(message: Descriptor) -> dict[str, list[Any]]:
    pairs = zip(message.fields, _declare(message).field, strict=True)
    return {field.name: _describe_field(field, declared) for field, declared in pairs}


def _describe_field(field: FieldDescriptor, declared: FieldDescriptorProto) -> list[Any]:
    """Number, type, whether it is repeated, the message it refers to; then what is unusual about it, if anything is."""
    referred = field.message_type.full_name if field.message_type is not None else ""
    wire: list[Any] = [field.number, field.type, field.is_repeated, referred]
    unusual = dict(_list_unusual(field, declared))
    return [*wire, unusual] if unusual else wire


def _list_unusual(field: FieldDescriptor, declared: FieldDescriptorProto) -> Iterator[tuple[str, Any]]:
    if field.json_name != default_json_name(field.name):
        yield "json_name", field.json_name
    if field.containing_oneof is not None and not declared.proto3_optional:
        yield "oneof", field.containing_oneof.name
    elif field.has_presence and field.message_type is None and not is_column(field):
        yield "presence", "explicit"
    if declared.label == FieldDescriptorProto.LABEL_REQUIRED:
        yield "required", True
    if field.enum_type is not None:
        yield "enum", field.enum_type.full_name
    if declared.HasField("default_value"):
        yield "default", declared.default_value


def _describe_enum(enum: EnumDescriptor) -> dict[str, int]:
    return {value.name: value.number for value in enum.values}


def _list_reserved(message: Descriptor) -> list[str | list[int]]:
    declared = _declare(message)
    # The end of a declared range of a message is exclusive, of an enum inclusive.
    return [*_join((one.start, one.end - 1) for one in declared.reserved_range), *sorted(declared.reserved_name)]


def _list_reserved_values(enum: EnumDescriptor) -> list[str | list[int]]:
    declared = EnumDescriptorProto()
    enum.CopyToProto(declared)
    return [*_join((one.start, one.end) for one in declared.reserved_range), *sorted(declared.reserved_name)]


def _join(declared: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Ranges of numbers, as long as they are together, by first and last."""
    ranges: list[list[int]] = []
    for first, last in sorted(declared):
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1][1] = max(last, ranges[-1][1])
        else:
            ranges.append([first, last])
    return ranges


def _list_packages(file: FileDescriptor) -> Iterator[tuple[str, str]]:
    """Where generated code of other languages stands: "go_package", "java_package"."""
    declared = FileDescriptorProto()
    file.CopyToProto(declared)
    for option, value in declared.options.ListFields():
        if isinstance(value, str):
            yield f"{file.name}: {option.name}", value
