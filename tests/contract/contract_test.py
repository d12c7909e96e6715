"""What makes a .proto file a contract, and what its fingerprint covers."""

import math
from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from support.protos import TIMESTAMP, Toy, make_field

from athanor.contract.columns import Kind, Role
from athanor.contract.contract import message_of
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError
from projects.delays.model import MODEL


def _make_double(toy: Toy, name: str) -> None:
    toy.field(name).type = FieldDescriptorProto.TYPE_DOUBLE


def _set(toy: Toy, name: str, **options: object) -> None:
    for option, value in options.items():
        setattr(toy.column(name), option, value)


def _repeat(toy: Toy, name: str) -> None:
    toy.field(name).label = FieldDescriptorProto.LABEL_REPEATED
    toy.field(name).proto3_optional = False


def _take_presence(toy: Toy, name: str) -> None:
    toy.field(name).proto3_optional = False


def _retype(toy: Toy, name: str, kind: str) -> None:
    changed = make_field(name, toy.field(name).number, kind)
    changed.options.CopyFrom(toy.field(name).options)
    toy.field(name).CopyFrom(changed)


def _add(toy: Toy, name: str, kind: str, role: options_pb2.Role.ValueType, **options: object) -> None:
    toy.row.field.append(make_field(name, 20, kind, description="One more", roles=[role], **options))


def _undescribe(toy: Toy, name: str) -> None:
    toy.field(name).ClearField("options")


def _repeat_rows(toy: Toy) -> None:
    more = toy.request.field.add()
    more.CopyFrom(toy.field("rows"))
    more.name, more.number = "more_rows", 9


def _share_a_name(toy: Toy) -> None:
    toy.outcome.field.append(make_field("amount", 2, "double", description="Again"))


def test_a_right_contract_is_read() -> None:
    contract = Toy().read()
    assert contract.name == "toy"
    assert contract.service.full_name == "toy.v1.ToyService"
    assert contract.row.full_name == "toy.v1.Row"
    assert [(column.name, column.number, column.kind) for column in contract.columns] == [
        ("at", 1, Kind.TIMESTAMP),
        ("id", 2, Kind.INTEGER),
        ("amount", 3, Kind.NUMBER),
        ("count", 4, Kind.INTEGER),
        ("color", 5, Kind.TEXT),
        ("code", 6, Kind.TEXT),
        ("is_new", 7, Kind.BOOLEAN),
    ]
    assert [column.name for column in contract.dataset_columns] == [
        *("at", "id", "amount", "count", "color", "code", "is_new", "won"),
    ]
    assert contract.label.name == "won"
    assert contract.event_time is contract.column("at")
    assert [column.name for column in contract.key] == ["id"]
    assert contract.prediction.name == "probability"
    assert contract.rules.rejected_budget == 0.25


def test_columns_carry_their_options_with_defaults_filled_in() -> None:
    contract = Toy().read()
    amount, count, color, code = map(contract.column, ("amount", "count", "color", "code"))
    assert (amount.description, amount.unit, amount.minimum, amount.maximum) == ("How much", "kg", 0, 9)
    assert amount.roles == {Role.FEATURE}
    assert (amount.may_be_missing, amount.missing_budget, amount.drift_budget) == (False, 0, None)
    assert (count.may_be_missing, count.missing_budget) == (True, 0.5)
    assert (color.categories, color.drift_budget) == (("red", "green"), 0.1)
    assert (code.pattern, code.missing_budget) == ("[A-Z]+", 1)
    assert (contract.column("is_new").minimum, contract.column("is_new").maximum) == (-math.inf, math.inf)


def test_whole_numbers_are_bounded_by_their_type() -> None:
    """A value that a message cannot hold is outside the column's range."""
    toy = Toy()
    _add(toy, "number", "int32", options_pb2.ROLE_FEATURE, maximum=5)
    contract = toy.read()
    assert (contract.column("count").minimum, contract.column("count").maximum) == (0, 2**32 - 1)
    assert (contract.column("number").minimum, contract.column("number").maximum) == (-(2**31), 5)


def test_columns_stand_in_the_order_of_their_numbers() -> None:
    toy = Toy()
    fields = list(toy.row.field)
    del toy.row.field[:]
    toy.row.field.extend(reversed(fields))
    assert [column.number for column in toy.read().columns] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("column", "allowed"),
    [
        ("amount", "a number from 0 to 9 kg"),
        ("id", "a whole number from 1 to 2147483647"),
        ("color", "one of red, green"),
        ("code", "text that matches [A-Z]+"),
        ("is_new", "a boolean"),
        ("at", "a timestamp"),
    ],
)
def test_a_column_says_in_words_what_is_allowed(column: str, allowed: str) -> None:
    assert Toy().read().column(column).allowed == allowed


def test_an_unknown_column_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ContractError, match=r"toy\.v1\.Row has no column 'weight'; it has at, id, .*won"):
        Toy().read().column("weight")


def test_a_scalar_field_has_no_message() -> None:
    with pytest.raises(ContractError, match=r"toy\.v1\.Row\.amount is not a message field"):
        message_of(Toy().read().row.fields_by_name["amount"])


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        # The service.
        (lambda t: setattr(t.service.method[0], "name", "Ask"), r"toy\.v1\.ToyService has no unary method Predict"),
        (lambda t: setattr(t.service.method[0], "client_streaming", True), "has no unary method Predict"),
        (lambda t: setattr(t.service.method[0], "server_streaming", True), "has no unary method Predict"),
        # Request and response.
        (lambda t: t.request.field.pop(), r"PredictRequest needs a field `string semantic_version`"),
        (lambda t: t.response.field.pop(), r"PredictResponse needs a field `string variant`"),
        (lambda t: _repeat(t, "model_name"), "needs a field `string model_name`"),
        (lambda t: _make_double(t, "release_digest"), "needs a field `string release_digest`"),
        (lambda t: t.remove("rows"), r"PredictRequest needs exactly one repeated message field, it has none"),
        (_repeat_rows, r"PredictRequest needs exactly one repeated message field, it has rows, more_rows"),
        (lambda t: t.remove("predictions"), r"PredictResponse needs exactly one repeated message field, it has none"),
        # One column.
        (lambda t: _undescribe(t, "amount"), r"Row\.amount has no column options; add \[\(athanor\.contract"),
        (lambda t: _set(t, "amount", description=""), r"Row\.amount: description is empty"),
        (lambda t: _repeat(t, "amount"), r"Row\.amount is repeated; a column holds a single value"),
        (lambda t: _take_presence(t, "amount"), r"Row\.amount is not `optional`; declare it so"),
        (lambda t: _retype(t, "amount", "int64"), r"Row\.amount has a type that a column cannot have; use double"),
        (lambda t: _retype(t, "amount", "bytes"), "has a type that a column cannot have"),
        (lambda t: _retype(t, "amount", ".toy.v1.Prediction"), "has a type that a column cannot have"),
        (lambda t: _set(t, "amount", minimum=10), r"Row\.amount: minimum 10 is above maximum 9"),
        (lambda t: _set(t, "amount", minimum=math.nan), "minimum and maximum must be finite: minimum nan, maximum 9"),
        (lambda t: _set(t, "amount", maximum=math.inf), "must be finite: minimum 0, maximum inf"),
        (lambda t: _set(t, "color", minimum=1), r"Row\.color: minimum and maximum apply to numbers, this is a text"),
        (lambda t: _set(t, "is_new", maximum=1), "maximum apply to numbers, this is a boolean"),
        (lambda t: _set(t, "at", maximum=1), "maximum apply to numbers, this is a timestamp"),
        (lambda t: _set(t, "amount", pattern="[0-9]"), r"Row\.amount: categories and pattern apply to text, this"),
        (
            lambda t: t.column("is_new").categories.append("yes"),
            "categories and pattern apply to text, this is a boolean",
        ),
        (lambda t: _set(t, "color", pattern=".*"), r"Row\.color: categories and pattern exclude each other"),
        (lambda t: _set(t, "code", pattern="[A-Z"), r"Row\.code: pattern '\[A-Z' is not a regular expression: "),
        (lambda t: _set(t, "amount", missing_budget=0.1), r"Row\.amount: missing_budget needs may_be_missing"),
        (lambda t: _set(t, "count", missing_budget=1.5), r"a share must be from 0 to 1: missing_budget 1\.5"),
        (lambda t: _set(t, "count", missing_budget=math.nan), "a share must be from 0 to 1: missing_budget nan"),
        (lambda t: _set(t, "count", missing_budget=-0.5), r"a share must be from 0 to 1: missing_budget -0\.5"),
        (lambda t: _set(t, "at", drift_budget=0.1), "drift_budget does not apply to a timestamp"),
        (lambda t: _set(t, "color", drift_budget=-0.1), r"drift_budget must be finite and 0 or more: -0\.1"),
        (lambda t: _set(t, "color", distance_budget=2), "a share must be from 0 to 1: distance_budget 2"),
        (lambda t: _set(t, "amount", missing_drift_budget=0.1), "missing_drift_budget needs may_be_missing"),
        (lambda t: _set(t, "amount", rate_drift_budget=0.1), "applies to booleans, this is a number"),
        (lambda t: _set(t, "is_new", distance_budget=0.1), "applies to numbers and text, this is a boolean"),
        (lambda t: _set(t, "color", drift_budget=math.inf), "drift_budget must be finite and 0 or more: inf"),
        (lambda t: _set(t, "id", may_be_missing=True), r"Row\.id: ROLE_KEY needs a required column, remove may_be"),
        (lambda t: _set(t, "at", may_be_missing=True), "ROLE_EVENT_TIME needs a required column"),
        (lambda t: t.column("id").roles.append(99), r"Row\.id: role 99 is unknown"),
        # The columns together.
        (_share_a_name, r"Row and toy\.v1\.Outcome share column names, rename: amount"),
        (lambda t: _add(t, "won_it", "bool", options_pb2.ROLE_LABEL), "known only afterwards, .*: won_it"),
        (lambda t: _add(t, "odds", "double", options_pb2.ROLE_PREDICTION), "known only afterwards, .*: odds"),
        (
            lambda t: _add(t, "end", TIMESTAMP, options_pb2.ROLE_EVENT_TIME),
            "at most one column with ROLE_EVENT_TIME, it has at, end",
        ),
        (
            lambda t: _add(t, "year", "int32", options_pb2.ROLE_EVENT_TIME),
            r"ROLE_EVENT_TIME needs a google\.protobuf\.Timestamp",
        ),
        (
            lambda t: t.column("won").ClearField("roles"),
            r"Outcome needs exactly one column with ROLE_LABEL, it has none",
        ),
        (lambda t: t.column("probability").ClearField("roles"), "exactly one column with ROLE_PREDICTION, it has none"),
        (lambda t: _set(t, "won", may_be_missing=True), r"Outcome\.won: ROLE_LABEL needs a required column"),
        (lambda t: _set_rejected_budget(t, 1.5), r"Row: rejected_budget must be from 0 to 1, not 1\.5"),
        (lambda t: _set_rejected_budget(t, -0.1), r"rejected_budget must be from 0 to 1, not -0\.1"),
        (lambda t: _set_rejected_budget(t, math.nan), "rejected_budget must be from 0 to 1, not nan"),
    ],
)
def test_a_wrong_contract_is_refused_with_place_and_reason(bend: Callable[[Toy], object], message: str) -> None:
    toy = Toy()
    bend(toy)
    with pytest.raises(ContractError, match=message):
        toy.read()


def _set_rejected_budget(toy: Toy, budget: float) -> None:
    toy.row.options.Extensions[options_pb2.dataset].rejected_budget = budget


def test_all_problems_of_a_column_are_reported_at_once() -> None:
    toy = Toy()
    _set(toy, "amount", description="", minimum=10, missing_budget=0.1)
    with pytest.raises(ContractError, match=r"description is empty, .*; minimum 10 .*; missing_budget needs"):
        toy.read()


def _reword(toy: Toy) -> None:
    for column in ("at", "amount", "color", "won", "probability"):
        _set(toy, column, description=f"Other words on {column}")


def _reorder(toy: Toy) -> None:
    categories = list(toy.column("color").categories)
    toy.column("color").ClearField("categories")
    toy.column("color").categories.extend(reversed(categories))


def _give_an_example(toy: Toy) -> None:
    _set(toy, "code", example="XY")


@pytest.mark.parametrize("change", [_reword, _reorder, _give_an_example])
def test_words_examples_and_the_order_of_categories_are_not_in_the_fingerprint(change: Callable[[Toy], None]) -> None:
    toy = Toy()
    change(toy)
    assert toy.read().fingerprint == Toy().read().fingerprint


def _rename(toy: Toy, name: str) -> None:
    toy.field(name).name = f"other_{name}"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t.service, "name", "OtherService"),
        lambda t: _rename(t, "amount"),
        lambda t: _rename(t, "probability"),
        lambda t: _rename(t, "won"),
        lambda t: _rename(t, "rows"),
        lambda t: setattr(t.field("amount"), "number", 30),
        lambda t: _retype(t, "amount", "float"),
        lambda t: _retype(t, "id", "uint32"),
        lambda t: t.remove("count"),
        lambda t: _add(t, "more", "double", options_pb2.ROLE_FEATURE),
        lambda t: t.response.field.append(make_field("cost", 9, "double")),
        lambda t: _set(t, "amount", unit="g"),
        lambda t: _set(t, "amount", minimum=0.5),
        lambda t: _set(t, "amount", maximum=8.5),
        lambda t: t.column("amount").ClearField("maximum"),
        lambda t: _set(t, "amount", may_be_missing=True),
        lambda t: t.column("color").categories.append("blue"),
        lambda t: _set(t, "code", pattern="[A-Z]*"),
        lambda t: t.column("color").roles.append(options_pb2.ROLE_FEATURE),
        lambda t: _set(t, "probability", unit="%"),
    ],
)
def test_everything_else_is_in_the_fingerprint(change: Callable[[Toy], object]) -> None:
    toy = Toy()
    change(toy)
    assert toy.read().fingerprint != Toy().read().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda t: _set(t, "count", missing_budget=0.4),
        lambda t: _set(t, "count", missing_drift_budget=0.4),
        lambda t: _set(t, "color", drift_budget=0.2),
        lambda t: t.column("color").ClearField("drift_budget"),
        lambda t: _set(t, "color", distance_budget=0.2),
        lambda t: _set(t, "is_new", rate_drift_budget=0.2),
        lambda t: _set_rejected_budget(t, 0.5),
    ],
)
def test_budgets_are_not_in_the_fingerprint_and_have_a_digest_of_their_own(change: Callable[[Toy], object]) -> None:
    toy = Toy()
    change(toy)
    assert toy.read().fingerprint == Toy().read().fingerprint
    assert toy.read().budgets_digest != Toy().read().budgets_digest


def test_the_fingerprint_of_a_contract_stays_the_same() -> None:
    """A new option must not change the fingerprint of a contract that does not use it: releases record it."""
    assert Toy().read().fingerprint == "e5518f24ea9d131ce531eed003335d84c465a12686a7143e8d44b7f8851fe125"
    assert MODEL.contract.fingerprint == "836b5306b6b6a6dac0dd691c43ae7637f4f897bbd07bc192794b8b269448a885"


def test_the_fingerprint_depends_on_the_wire_alone() -> None:
    assert Toy().read().fingerprint == Toy().read().fingerprint
    assert len(Toy().read().fingerprint) == 64
