"""What callers rely on beyond names, numbers and types of fields, as protobuf's rules on breaking changes list it."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto
from support.protos import Toy, make_field

from athanor.contract.evolution.compatibility import Level, compare
from athanor.contract.wire import default_json_name
from athanor.errors import ContractError

Edit: TypeAlias = Callable[[Toy], object]


def _unchanged(toy: Toy) -> None:
    pass


def _name(field: str, json_name: str) -> Edit:
    return lambda toy: setattr(toy.field(field), "json_name", json_name)


def _join(message: str, *fields: str, oneof: str = "choice") -> Edit:
    """Moves fields into a oneof."""

    def edit(toy: Toy) -> None:
        owner: DescriptorProto = getattr(toy, message)
        owner.oneof_decl.add(name=oneof)
        for field in owner.field:
            if field.name in fields:
                field.proto3_optional = False
                field.oneof_index = len(owner.oneof_decl) - 1

    return edit


def _mark_optional(toy: Toy) -> None:
    toy.field("variant").proto3_optional = True


def _reserve(*ranges: tuple[int, int], names: tuple[str, ...] = (), message: str = "row") -> Edit:
    def edit(toy: Toy) -> None:
        owner: DescriptorProto = getattr(toy, message)
        for first, last in ranges:
            owner.reserved_range.add(start=first, end=last + 1)
        owner.reserved_name.extend(names)

    return edit


def _add_mode(**values: int) -> Edit:
    """Adds an enum to the request, and a field of it."""

    def edit(toy: Toy) -> None:
        enum = toy.request.enum_type.add(name="Mode")
        for name, number in values.items():
            enum.value.add(name=name, number=number)
        toy.request.field.append(
            FieldDescriptorProto(
                name="mode",
                number=9,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
                type=FieldDescriptorProto.TYPE_ENUM,
                type_name=".toy.v1.PredictRequest.Mode",
            )
        )

    return edit


def _reserve_mode(toy: Toy) -> None:
    toy.request.enum_type[0].reserved_range.add(start=7, end=9)
    toy.request.enum_type[0].reserved_name.append("MODE_SLOW")


def _ask_otherwise(toy: Toy) -> None:
    """Makes the request a message of another name, which refers to the former one."""
    question = DescriptorProto()
    question.CopyFrom(toy.request)
    question.name = "Question"
    question.field.append(make_field("former", 9, ".toy.v1.PredictRequest"))
    toy.others.append(question)
    toy.service.method[0].input_type = ".toy.v1.Question"


def _all(*edits: Edit) -> Edit:
    return lambda toy: [edit(toy) for edit in edits]


def _code(kind: str) -> FieldDescriptorProto:
    field = make_field("code", 1, kind)
    field.ClearField("proto3_optional")
    return field


def _add_part(*fields: FieldDescriptorProto) -> Edit:
    """Adds a message to the response, of which the contract reads nothing, and a field of it."""

    def edit(toy: Toy) -> None:
        toy.response.nested_type.append(DescriptorProto(name="Part", field=fields))
        toy.response.field.append(make_field("part", 9, ".toy.v1.PredictResponse.Part"))

    return edit


def _set_package(name: str) -> Edit:
    return lambda toy: setattr(toy.options, "go_package", name)


_MODES: Final = _add_mode(MODE_UNSPECIFIED=0, MODE_FAST=1)
_BREAKING: Final[list[tuple[Edit, Edit, str]]] = [
    # REST sends and reads JSON names.
    (
        _unchanged,
        _name("probability", "p"),
        "field toy.v1.Prediction.probability changed its JSON name from probability to p",
    ),
    (_unchanged, _name("is_new", "fresh"), "field toy.v1.Row.is_new changed its JSON name from isNew to fresh"),
    (_name("is_new", "fresh"), _unchanged, "field toy.v1.Row.is_new changed its JSON name from fresh to isNew"),
    (_unchanged, _name("won", "victory"), "field toy.v1.Outcome.won changed its JSON name from won to victory"),
    (_unchanged, _name("rows", "lines"), "field toy.v1.PredictRequest.rows changed its JSON name from rows to lines"),
    (
        _unchanged,
        _name("request_id", "id"),
        "field toy.v1.PredictResponse.request_id changed its JSON name from requestId to id",
    ),
    # Of a oneof, a caller can send one field.
    (_unchanged, _join("row", "count", "code"), "field toy.v1.Row.count changed its oneof from none to choice"),
    (_join("row", "count", "code"), _unchanged, "field toy.v1.Row.code changed its oneof from choice to none"),
    (
        _join("row", "count", "code"),
        _join("row", "count", "code", oneof="other"),
        "field toy.v1.Row.code changed its oneof from choice to other",
    ),
    (
        _unchanged,
        _join("request", "model_name", "semantic_version"),
        "field toy.v1.PredictRequest.model_name changed its oneof from none to choice",
    ),
    # JSON leaves out what is not set, and nothing else.
    (
        _unchanged,
        _mark_optional,
        "field toy.v1.PredictResponse.variant changed its presence from implicit to explicit",
    ),
    (
        _mark_optional,
        _unchanged,
        "field toy.v1.PredictResponse.variant changed its presence from explicit to implicit",
    ),
    # A number that comes back has another meaning for older callers and for stored messages.
    (_reserve((20, 22)), _reserve((20, 21)), "message toy.v1.Row no longer reserves 20 to 22"),
    (_reserve((20, 20), names=("old",)), _reserve((20, 20)), "message toy.v1.Row no longer reserves old"),
    (_reserve((20, 20)), _unchanged, "message toy.v1.Row no longer reserves 20"),
    (_reserve((20, 20), message="outcome"), _unchanged, "message toy.v1.Outcome no longer reserves 20"),
    (_all(_MODES, _reserve_mode), _MODES, "enum toy.v1.PredictRequest.Mode no longer reserves 7 to 9, MODE_SLOW"),
    # Both messages stay, and the method takes another.
    (_unchanged, _ask_otherwise, "the method changed its request from PredictRequest to toy.v1.Question"),
    (
        _MODES,
        _add_mode(MODE_UNSPECIFIED=0, MODE_QUICK=1),
        "enum value toy.v1.PredictRequest.Mode.MODE_FAST was removed",
    ),
    (
        _MODES,
        _add_mode(MODE_UNSPECIFIED=0, MODE_FAST=2),
        "enum value toy.v1.PredictRequest.Mode.MODE_FAST changed its number from 1 to 2",
    ),
    # What is below the messages of the contract.
    (
        _add_part(_code("int32")),
        _add_part(_code("string")),
        "field toy.v1.PredictResponse.Part.code changed its wire format from int32 = 1 to string = 1",
    ),
    (
        _add_part(_code("int32")),
        _add_part(),
        "field toy.v1.PredictResponse.Part.code was removed",
    ),
]

_COMPATIBLE: Final[list[tuple[Edit, Edit, str]]] = [
    (_unchanged, _reserve((20, 22), names=("old",)), "message toy.v1.Row reserves 20 to 22, old"),
    (_reserve((20, 20), (21, 22)), _reserve((20, 30)), "message toy.v1.Row reserves 20 to 30"),
    (_MODES, _all(_MODES, _reserve_mode), "enum toy.v1.PredictRequest.Mode reserves 7 to 9, MODE_SLOW"),
    (
        _MODES,
        _add_mode(MODE_UNSPECIFIED=0, MODE_FAST=1, MODE_BEST=2),
        "enum value toy.v1.PredictRequest.Mode.MODE_BEST is new",
    ),
    (_add_part(), _add_part(_code("int32")), "field toy.v1.PredictResponse.Part.code is new"),
    (
        _set_package("example.com/a"),
        _set_package("example.com/b"),
        "file toy/v1/toy.proto changed its go package from example.com/a to example.com/b",
    ),
]


def _wire(edit: Edit) -> dict[str, Any]:
    toy = Toy()
    edit(toy)
    wire: dict[str, Any] = json.loads(json.dumps(toy.read().wire))
    return wire


def _changes(before: Edit, after: Edit, level: Level) -> list[str]:
    return [str(change) for change in compare(_wire(before), _wire(after)) if change.level is level]


@pytest.mark.parametrize(("before", "after", "expected"), _BREAKING, ids=[words for *_, words in _BREAKING])
def test_what_breaks_callers_is_breaking(before: Edit, after: Edit, expected: str) -> None:
    assert expected in _changes(before, after, Level.BREAKING)


@pytest.mark.parametrize(("before", "after", "expected"), _COMPATIBLE, ids=[words for *_, words in _COMPATIBLE])
def test_what_breaks_no_caller_is_reported_too(before: Edit, after: Edit, expected: str) -> None:
    assert _changes(before, after, Level.COMPATIBLE) == [expected]
    assert _changes(before, after, Level.BREAKING) == []


@pytest.mark.parametrize("edit", [_name("is_new", "isNew"), _unchanged])
def test_what_is_usual_changes_no_fingerprint(edit: Edit) -> None:
    assert _wire(edit) == _wire(_unchanged)
    assert _wire(edit).keys() == {"method", "outcome", "messages", "row_columns", "other_columns"}
    assert all(len(wire) == 4 for fields in _wire(edit)["messages"].values() for wire in fields.values())


def test_the_order_of_reserved_numbers_does_not_matter() -> None:
    assert _wire(_reserve((22, 22), (20, 21))) == _wire(_reserve((20, 22)))


@pytest.mark.parametrize("name", ["a", "late_probability", "a_1_b", "a__b", "_a", "aB_c", "a_"])
def test_json_names_are_derived_as_protobuf_does(name: str) -> None:
    toy = Toy()
    toy.response.field.append(make_field(name, 9, "string"))
    response = toy.read().predict.output_type
    assert response.fields_by_name[name].json_name == default_json_name(name)


def test_a_column_with_a_default_is_refused() -> None:
    """A row without it would be read as if it had it."""
    toy = Toy()
    toy.field("amount").default_value = "1.5"
    toy.syntax = "proto2"
    with pytest.raises(ContractError, match=r"toy\.v1\.Row\.amount has a default value.*remove it"):
        toy.read()
