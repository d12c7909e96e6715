"""Every difference between two contracts, and which of them break callers or stored rows of the older one."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY
from support.protos import Toy, make_field
from support.toys import with_categories, with_number, with_sets, with_weight

from athanor.contract.evolution.compatibility import (
    IS_COMPATIBLE,
    Change,
    Level,
    compare,
    describe_breaking,
    list_breaking,
)
from athanor.contract.v1 import options_pb2

Edit: TypeAlias = Callable[[Toy], object]


def _set(name: str, **options: object) -> Edit:
    """Sets options of a column; a list replaces what is there, None clears it."""

    def edit(toy: Toy) -> None:
        column: Any = toy.column(name)
        for option, value in options.items():
            column.ClearField(option)
            if isinstance(value, list):
                getattr(column, option).extend(value)
            elif value is not None:
                setattr(column, option, value)

    return edit


def _set_rule(**rules: float) -> Edit:
    return lambda toy: toy.row.options.Extensions[options_pb2.dataset].MergeFrom(options_pb2.DatasetOptions(**rules))


def _set_field(name: str, /, **values: Any) -> Edit:
    return lambda toy: toy.field(name).MergeFrom(FieldDescriptorProto(**values))


def _remove(name: str) -> Edit:
    return lambda toy: toy.remove(name)


def _add(message: str, **options: object) -> Edit:
    return lambda toy: getattr(toy, message).field.append(make_field("weight", 20, "double", **options))


def _all(*edits: Edit) -> Edit:
    return lambda toy: [edit(toy) for edit in edits]


def _unchanged(toy: Toy) -> None:
    pass


def _rename_service(toy: Toy) -> None:
    toy.service.name = "Other"


def _rename_outcome(toy: Toy) -> None:
    toy.outcome.name = "Result"


def _swap_label(label: str = "won") -> Edit:
    """Adds an outcome `lost`, and gives one of the two ROLE_LABEL."""

    def edit(toy: Toy) -> None:
        toy.outcome.field.append(make_field("lost", 2, "bool", description="Whether it lost"))
        toy.column("won").ClearField("roles")
        toy.column(label).roles.append(options_pb2.ROLE_LABEL)

    return edit


def _grow(toy: Toy) -> None:
    """Adds a category to the answer."""
    for name in ("fruit", "likeliest"):
        toy.column(name).categories.append("fig")


def _rename_category(toy: Toy) -> None:
    toy.column("p_plum").category = "fig"


def _with_number(toy: Toy) -> None:
    with_number(toy)


def _with_interval(toy: Toy) -> None:
    with_number(toy, interval=True)


def _bounded(minimum: float) -> Edit:
    """An interval that begins at no less."""
    return _all(_with_interval, _set("low", minimum=minimum))


def _weigh(*roles: options_pb2.Role.ValueType) -> Edit:
    """An outcome with a weight, or a number that is none."""
    return _all(with_weight, _set("weight", roles=list(roles)))


def _add_tags(toy: Toy) -> None:
    """Repeats a field of the request, which is no column: a repeated column would be refused."""
    toy.request.field.append(FieldDescriptorProto(name="tags", number=9, label=FieldDescriptorProto.LABEL_REPEATED))
    toy.request.field[-1].type = FieldDescriptorProto.TYPE_STRING


def _add_tag(toy: Toy) -> None:
    toy.request.field.append(make_field("tags", 9, "string"))


def _wire(*edits: Edit) -> dict[str, Any]:
    """As a release records them."""
    toy = Toy()
    for edit in edits:
        edit(toy)
    wire: dict[str, Any] = json.loads(json.dumps(toy.read().wire))
    return wire


def _compare(edit: Edit, before: Edit = _unchanged) -> tuple[Change, ...]:
    return compare(_wire(before), _wire(edit))


def _list(changes: Sequence[Change], level: Level) -> list[str]:
    return [str(change) for change in changes if change.level is level]


_FLOAT: Final = FieldDescriptorProto.TYPE_FLOAT
_BREAKING: Final[list[tuple[Edit, Edit, str]]] = [
    # The wire format.
    (
        _unchanged,
        _rename_service,
        "the method changed its name from toy.v1.ToyService/Predict to toy.v1.Other/Predict",
    ),
    (_unchanged, _remove("count"), "field toy.v1.Row.count was removed"),
    (_unchanged, _remove("count"), "column count was removed"),
    (
        _unchanged,
        _set_field("amount", number=30),
        "field toy.v1.Row.amount changed its wire format from double = 3 to double = 30",
    ),
    (
        _unchanged,
        _set_field("amount", type=_FLOAT),
        "field toy.v1.Row.amount changed its wire format from double = 3 to float = 3",
    ),
    (
        _add_tag,
        _add_tags,
        "field toy.v1.PredictRequest.tags changed its wire format from string = 9 to repeated string = 9",
    ),
    # JSON knows fields by their names.
    (_unchanged, _set_field("rows", name="flights"), "field toy.v1.PredictRequest.rows was removed"),
    (_unchanged, _set_field("predictions", name="answers"), "field toy.v1.PredictResponse.predictions was removed"),
    (_unchanged, _set_field("probability", name="p"), "field toy.v1.Prediction.probability was removed"),
    (_unchanged, _set_field("probability", name="p"), "column probability was removed"),
    (_unchanged, _set_field("amount", number=30), "column amount changed its number from 3 to 30"),
    # What callers send.
    (_unchanged, _add("row", description="How heavy"), "column weight is new and required"),
    (
        _unchanged,
        _set_field("amount", type=FieldDescriptorProto.TYPE_INT32),
        "column amount changed its kind from number to integer",
    ),
    (_unchanged, _set("amount", unit="g"), "column amount changed its unit from kg to g"),
    (_unchanged, _set("amount", unit=None), "column amount changed its unit from kg to none"),
    (_unchanged, _set("code", may_be_missing=False), "column code was optional and became required"),
    (_unchanged, _set("amount", minimum=0.5), "column amount changed its minimum from 0 to 0.5"),
    (_set("amount", minimum=None), _unchanged, "column amount changed its minimum from none to 0"),
    (_unchanged, _set("amount", maximum=8), "column amount changed its maximum from 9 to 8"),
    (_set("amount", maximum=None), _unchanged, "column amount changed its maximum from none to 9"),
    (_unchanged, _set("color", categories=["green"]), "column color changed its categories from green, red to green"),
    (
        _set("code", pattern=None),
        _set("code", pattern=None, categories=["A", "B"]),
        "column code changed its categories from none to A, B",
    ),
    (_unchanged, _set("code", pattern="[A-Z]"), "column code changed its pattern from [A-Z]+ to [A-Z]"),
    (_set("code", pattern=None), _unchanged, "column code changed its pattern from none to [A-Z]+"),
    # What callers read.
    (_unchanged, _set("probability", unit="%"), "column probability changed its unit from none to %"),
    (
        _set("probability", minimum=0),
        _set("probability", minimum=-1),
        "column probability changed its minimum from 0 to -1",
    ),
    (
        _set("probability", maximum=1),
        _set("probability", maximum=2),
        "column probability changed its maximum from 1 to 2",
    ),
    (_set("probability", maximum=1), _unchanged, "column probability changed its maximum from 1 to none"),
    (
        _unchanged,
        _set_field("probability", type=_FLOAT),
        "field toy.v1.Prediction.probability changed its wire format from double = 1 to float = 1",
    ),
    (
        with_categories,
        _all(with_categories, _grow),
        "column likeliest changed its categories from apple, pear, plum to apple, fig, pear, plum",
    ),
    (with_categories, _all(with_categories, _rename_category), "column p_plum changed its category from plum to fig"),
    (with_categories, _all(with_categories, _set("p_plum", unit="%")), "column p_plum changed its unit from none to %"),
    (_bounded(0), _bounded(-1), "column low changed its minimum from 0 to -1"),
    (_with_interval, _with_number, "column high was removed"),
    (with_sets, _unchanged, "column has_true was removed"),
    # What datasets store: outcomes too.
    (_unchanged, _rename_outcome, "the outcome changed its message from toy.v1.Outcome to toy.v1.Result"),
    (_unchanged, _set_field("won", name="lost"), "field toy.v1.Outcome.won was removed"),
    (_unchanged, _set_field("won", name="lost"), "column won was removed"),
    (
        _unchanged,
        _set_field("won", number=7),
        "field toy.v1.Outcome.won changed its wire format from bool = 1 to bool = 7",
    ),
    (_unchanged, _set("won", unit="1"), "column won changed its unit from none to 1"),
    (_unchanged, _add("outcome", description="How heavy"), "column weight is new and required"),
    # Which rows are one and the same, and what is predicted.
    (
        _unchanged,
        _set("amount", roles=[options_pb2.ROLE_KEY]),
        "column amount changed its roles from FEATURE to KEY",
    ),
    (_swap_label(), _swap_label("lost"), "column won changed its roles from LABEL to none"),
]

_COMPATIBLE: Final[list[tuple[Edit, Edit, str]]] = [
    # Callers may send more than before.
    (_unchanged, _add("row", description="How heavy", may_be_missing=True), "column weight is new and optional"),
    (_unchanged, _add("response"), "field toy.v1.PredictResponse.weight is new"),
    (_unchanged, _set("color", may_be_missing=True), "column color was required and became optional"),
    (_unchanged, _set("amount", minimum=-1), "column amount changed its minimum from 0 to -1"),
    (_unchanged, _set("amount", minimum=None), "column amount changed its minimum from 0 to none"),
    (_unchanged, _set("amount", maximum=10), "column amount changed its maximum from 9 to 10"),
    (_unchanged, _set("amount", maximum=None), "column amount changed its maximum from 9 to none"),
    (
        _unchanged,
        _set("color", categories=["red", "green", "blue"]),
        "column color changed its categories from green, red to blue, green, red",
    ),
    (_unchanged, _set("color", categories=None), "column color changed its categories from green, red to none"),
    (_unchanged, _set("code", pattern=None), "column code changed its pattern from [A-Z]+ to none"),
    (_unchanged, _set("amount", roles=[]), "column amount changed its roles from FEATURE to none"),
    (
        _unchanged,
        _set("count", roles=[options_pb2.ROLE_FEATURE]),
        "column count changed its roles from none to FEATURE",
    ),
    (_unchanged, _add("outcome", description="How heavy", may_be_missing=True), "column weight is new and optional"),
    # The prediction narrows.
    (_unchanged, _set("probability", maximum=0.9), "column probability changed its maximum from none to 0.9"),
    # The answer says more, or narrows.
    (_unchanged, with_sets, "column has_true is new and required"),
    (_with_number, _with_interval, "column low is new and required"),
    (_bounded(-1), _bounded(0), "column low changed its minimum from -1 to 0"),
    # How a model is fitted.
    (_unchanged, _set("color", roles=[options_pb2.ROLE_GROUP]), "column color changed its roles from none to GROUP"),
    (
        _weigh(),
        _weigh(options_pb2.ROLE_WEIGHT),
        "column weight changed its roles from none to WEIGHT",
    ),
]


@pytest.mark.parametrize(("before", "after", "expected"), _BREAKING, ids=[words for *_, words in _BREAKING])
def test_a_change_that_breaks_callers_or_stored_rows_is_breaking(before: Edit, after: Edit, expected: str) -> None:
    assert expected in _list(_compare(after, before), Level.BREAKING)


@pytest.mark.parametrize(("before", "after"), [pair for *pair, _ in _BREAKING])
def test_each_breaking_change_has_a_remedy_and_no_other_needs_one(before: Edit, after: Edit) -> None:
    for change in _compare(after, before):
        assert bool(change.remedy) is (change.level is Level.BREAKING)


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        (_unchanged, _set("amount", minimum=0.5), "keep the range, or widen it"),
        (_unchanged, _set("amount", unit="g"), "keep it, and add another column"),
        (_unchanged, _set("color", categories=["green"]), "keep each category; more may be added"),
        (_unchanged, _set("code", may_be_missing=False), "keep it optional"),
        (_unchanged, _add("row", description="How heavy"), "declare it may_be_missing"),
        (_set("probability", maximum=1), _unchanged, "keep the range, or narrow it"),
        (with_sets, _all(with_sets, _set("has_true", unit="%")), "keep it, and add another column"),
        (_unchanged, _set("id", roles=[]), "change no role but ROLE_FEATURE, ROLE_GROUP and ROLE_WEIGHT"),
    ],
)
def test_the_remedy_says_what_is_compatible_instead(before: Edit, after: Edit, remedy: str) -> None:
    (change,) = list_breaking(_compare(after, before))
    assert change.remedy == remedy
    assert describe_breaking([change]) == f"  - {change}; {remedy}"


@pytest.mark.parametrize(("before", "after", "expected"), _COMPATIBLE, ids=[words for *_, words in _COMPATIBLE])
def test_a_change_that_only_allows_more_is_reported_as_compatible(before: Edit, after: Edit, expected: str) -> None:
    changes = _compare(after, before)
    assert expected in _list(changes, Level.COMPATIBLE)
    assert _list(changes, Level.BREAKING) == []


@pytest.mark.parametrize(
    "edit",
    [
        _unchanged,
        _set("amount", description="Other words"),
        # Budgets.
        _set("count", missing_budget=0.1, missing_drift_budget=0.5),
        _set("color", drift_budget=0.5, distance_budget=0.5),
        _set("is_new", rate_drift_budget=0.5),
        _set_rule(rejected_budget=1, largest_gap_s=60, disorder_budget=0.5),
        _set_rule(leakage_budget=0.75, drift_significance=0.5),
    ],
)
def test_equal_wires_have_no_differences(edit: Edit) -> None:
    assert _compare(edit) == ()


def test_breaking_changes_are_reported_together_and_before_the_rest() -> None:
    changes = _compare(_all(_remove("count"), _set("amount", minimum=1, maximum=10, unit="g")))
    assert [(change.subject, change.level) for change in changes] == [
        ("field toy.v1.Row.count", Level.BREAKING),
        ("column amount", Level.BREAKING),
        ("column amount", Level.BREAKING),
        ("column count", Level.BREAKING),
        ("column amount", Level.COMPATIBLE),
    ]


def test_a_removed_message_is_reported_with_its_fields() -> None:
    old, new = _wire(), _wire()
    new["messages"]["toy.v1.Line"] = new["messages"].pop("toy.v1.Row")
    changes = compare(old, new)
    assert "message toy.v1.Row was removed" in _list(changes, Level.BREAKING)
    assert "field toy.v1.Row.amount was removed" in _list(changes, Level.BREAKING)
    assert "message toy.v1.Line is new" in _list(changes, Level.COMPATIBLE)


def test_each_option_of_a_column_has_a_rule() -> None:
    """An author who adds an option decides what a change of it means."""
    wire = _wire()
    for column in (*wire["row_columns"].values(), *wire["other_columns"].values()):
        assert column.keys() == IS_COMPATIBLE.keys() - {"category"}
    assert _wire(with_categories)["other_columns"]["p_plum"].keys() == IS_COMPATIBLE.keys()


def test_each_part_of_a_contract_is_compared() -> None:
    assert _wire().keys() == {"method", "outcome", "messages", "row_columns", "other_columns"}


def test_a_change_of_an_unlisted_option_is_breaking() -> None:
    old, new = _wire(), _wire()
    new["row_columns"]["amount"]["flavour"] = new["other_columns"]["won"]["flavour"] = "sweet"
    new["other_columns"]["probability"]["flavour"] = "sweet"
    assert _list(compare(old, new), Level.BREAKING) == [
        f"column {name} changed its flavour from none to sweet" for name in ("amount", "probability", "won")
    ]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths to every value."""
    if isinstance(value, dict):
        for name, held in value.items():
            yield from _leaves(held, (*path, name))
    else:
        yield path


_LEAVES: Final = list(_leaves(_wire()))
_WIRES: Final = st.builds(
    lambda number, kind, is_repeated, referred: [number, kind, is_repeated, referred],
    st.integers(1, 50),
    st.integers(1, 18),
    st.booleans(),
    st.sampled_from(["", "toy.v1.Row"]),
)
_VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "method": st.text(),
    "kind": st.text(),
    "unit": st.text(),
    "pattern": st.text(),
    "number": st.integers(1, 50),
    "may_be_missing": st.booleans(),
    "roles": st.lists(st.sampled_from(["FEATURE", "KEY", "LABEL", "PREDICTION"]), unique=True).map(sorted),
    "categories": st.lists(st.text(), unique=True).map(sorted),
}
_NUMBERS: Final = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def _edited(draw: st.DrawFn) -> dict[str, Any]:
    """A wire of which a few values are changed or absent."""
    wire = _wire()
    for *outer, last in draw(st.lists(st.sampled_from(_LEAVES), max_size=3)):
        held = wire
        for name in outer:
            held = held.get(name, {})
        held[last] = draw(_WIRES if outer[:1] == ["messages"] else _VALUES.get(last, _NUMBERS))
    for part in draw(st.sets(st.sampled_from(["messages", "row_columns", "other_columns"]), max_size=1)):
        wire[part].pop(draw(st.sampled_from(sorted(wire[part]))))
    return wire


@PROPERTY
@given(_edited(), _edited())
def test_there_is_a_change_if_and_only_if_the_wires_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert bool(compare(old, new)) == bool(compare(new, old)) == (old != new)
    assert compare(old, old) == compare(new, new) == ()


def test_compatibility_is_transitive() -> None:
    """So that the registry needs to compare with the newest release alone."""
    cases = (*_BREAKING, *_COMPATIBLE)
    wires = [_wire(edit) for edit in dict.fromkeys(edit for *edits, _ in cases for edit in edits)]
    followers = [{index for index, new in enumerate(wires) if not list_breaking(compare(old, new))} for old in wires]
    chains = [(old, new) for old, reached in enumerate(followers) for new in reached if new != old]
    assert len(chains) > 100
    for old, new in chains:
        assert followers[new] <= followers[old]


@pytest.mark.parametrize("path", _LEAVES, ids="/".join)
def test_a_single_difference_is_reported_once_in_either_direction(path: tuple[str, ...]) -> None:
    old, new = _wire(), _wire()
    *outer, last = path
    held = new
    for name in outer:
        held = held[name]
    others: dict[str, Any] = {"may_be_missing": not held[last], "roles": ["KEY", "LABEL"], "categories": ["blue"]}
    held[last] = [97, 8, True, ""] if outer[:1] == ["messages"] else others.get(last, -12345.5)
    for one, other in ((old, new), (new, old)):
        (change,) = compare(one, other)
        assert outer[-1] in change.subject if outer[1:] else change.subject
