"""Differences between two versions of a contract, and whether callers of the old one are still served."""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from athanor.contract.wire import default_json_name

Wire: TypeAlias = Mapping[str, Any]
"""`Contract.wire`, or a part of it."""


class Level(enum.Enum):
    """What a change means for callers of the old contract."""

    BREAKING = "breaking"
    COMPATIBLE = "compatible"


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Attributes:
        subject: "column distance", "field flight_delay.v1.Flight.distance".
        what: the change, with the old value and the new one.
    """

    subject: str
    what: str
    level: Level

    def __str__(self) -> str:
        return f"{self.subject} {self.what}"


def compare(old: Wire, new: Wire) -> tuple[Change, ...]:
    """Every difference between two contracts, breaking ones first; empty if and only if their wires are the same.

    Everything that callers send must stay allowed and keep its meaning; more may become allowed. Everything that they
    read must stay within what they expect; it may become less.

    Args:
        old, new: `Contract.wire`.
    """
    return tuple(sorted(_compare(old, new), key=lambda change: change.level is Level.COMPATIBLE))


def _compare(old: Wire, new: Wire) -> Iterator[Change]:
    if old["method"] != new["method"]:
        yield Change("the method", _changed("name", old["method"], new["method"]), Level.BREAKING)
    if old["outcome"] != new["outcome"]:
        yield Change("the outcome", _changed("message", old["outcome"], new["outcome"]), Level.COMPATIBLE)
    unsent = _only_known_afterwards(old) | _only_known_afterwards(new)
    yield from _compare_messages(old["messages"], new["messages"], unsent)
    yield from _compare_enums(old.get("enums", {}), new.get("enums", {}))
    yield from _compare_reserved(old.get("reserved", {}), new.get("reserved", {}), unsent)
    for name, before, after in _differences(old.get("packages", {}), new.get("packages", {})):
        file, _, option = name.partition(": ")
        # Generated code that callers have still works; generated again, it lies elsewhere.
        yield Change(f"file {file}", _changed(option, before, after), Level.COMPATIBLE)
    yield from _compare_columns(old["row_columns"], new["row_columns"], _is_compatible_sent)
    yield from _compare_columns(old["other_columns"], new["other_columns"], _is_compatible_unsent)


def _differences(old: Wire, new: Wire) -> Iterator[tuple[str, Any, Any]]:
    """Name, old value and new value of each difference; None for an absent value."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before != after or (name in old) != (name in new):
            yield name, before, after


def _compare_messages(old: Wire, new: Wire, unsent: set[str]) -> Iterator[Change]:
    """Compares the wire format. A change to a message that is never sent breaks no caller."""
    for message, before, after in _differences(old, new):
        broken = Level.COMPATIBLE if message in unsent else Level.BREAKING
        if before is None:
            yield Change(f"message {message}", "is new", Level.COMPATIBLE)
        if after is None:
            yield Change(f"message {message}", "was removed", broken)
        for field, wire, new_wire in _differences(before or {}, after or {}):
            subject = f"field {message}.{field}"
            if wire is None:
                # Whether callers must give it is a matter of its column.
                yield Change(subject, "is new", Level.COMPATIBLE)
            elif new_wire is None:
                yield Change(subject, "was removed", broken)
            else:
                yield from _compare_field(subject, field, wire, new_wire, broken)


def _compare_field(subject: str, name: str, old: Sequence[Any], new: Sequence[Any], broken: Level) -> Iterator[Change]:
    if old[:_UNUSUAL] != new[:_UNUSUAL]:
        yield Change(subject, _changed("wire format", _format_wire(old), _format_wire(new)), broken)
    usual = {"json_name": default_json_name(name), "presence": "implicit", "required": False}
    before, after = ({**usual, **dict(*wire[_UNUSUAL:])} for wire in (old, new))
    for what, value, new_value in _differences(before, after):
        yield Change(subject, _changed(_WORDS.get(what, what), value, new_value), broken)


# Where the dictionary of what is unusual about a field stands, if it has one.
_UNUSUAL: Final = 4
_WORDS: Final = {"json_name": "JSON name"}


def _compare_enums(old: Wire, new: Wire) -> Iterator[Change]:
    for name, before, after in _differences(old, new):
        if before is None or after is None:
            continue  # The field that refers to it changed, or is new.
        for value, number, new_number in _differences(before, after):
            subject = f"enum value {name}.{value}"
            if number is None:
                # A caller that reads it was built without it.
                yield Change(subject, "is new", Level.COMPATIBLE)
            elif new_number is None:
                yield Change(subject, "was removed", Level.BREAKING)
            else:
                yield Change(subject, _changed("number", number, new_number), Level.BREAKING)


def _compare_reserved(old: Wire, new: Wire, unsent: set[str]) -> Iterator[Change]:
    """A number that is no longer reserved may come back with another meaning."""
    for message, before, after in _differences(old, new):
        lost = [_format_reserved(one) for one in before or () if not _is_reserved(one, after or ())]
        added = [_format_reserved(one) for one in after or () if not _is_reserved(one, before or ())]
        if lost:
            level = Level.COMPATIBLE if message in unsent else Level.BREAKING
            yield Change(f"message {message}", f"no longer reserves {', '.join(lost)}", level)
        if added:
            yield Change(f"message {message}", f"reserves {', '.join(added)}", Level.COMPATIBLE)


def _is_reserved(one: Any, reserved: Sequence[Any]) -> bool:
    """Whether a name or a range of numbers is among others."""
    if isinstance(one, str):
        return one in reserved
    return any(not isinstance(other, str) and other[0] <= one[0] and one[1] <= other[1] for other in reserved)


def _format_reserved(one: Any) -> str:
    if isinstance(one, str):
        return one
    return f"{one[0]}" if one[0] == one[1] else f"{one[0]} to {one[1]}"


def _only_known_afterwards(wire: Wire) -> set[str]:
    """Messages whose fields are all columns of the outcome."""
    names = {name for name, column in wire["other_columns"].items() if not _is_prediction(column)}
    return {message for message, fields in wire["messages"].items() if fields and fields.keys() <= names}


def _format_wire(wire: Sequence[Any]) -> str:
    """As in a .proto file: "repeated toy.v1.Row = 1"."""
    number, kind, is_repeated, referred = wire[:_UNUSUAL]
    type_name = referred or FieldDescriptorProto.Type.Name(kind).removeprefix("TYPE_").lower()
    return f"{'repeated ' if is_repeated else ''}{type_name} = {number}"


Compatibility: TypeAlias = Callable[[str, Wire, Wire], bool]
"""Whether a changed option of a column is compatible, given option, old column and new column.

Option "" stands for the whole column, {} for a column that is absent.
"""


def _compare_columns(old: Wire, new: Wire, is_compatible: Compatibility) -> Iterator[Change]:
    for name, before, after in _differences(old, new):
        changes = [("", before, after)] if before is None or after is None else list(_differences(before, after))
        for option, value, new_value in changes:
            level = Level.COMPATIBLE if is_compatible(option, before or {}, after or {}) else Level.BREAKING
            yield Change(f"column {name}", _format_column(option, value, new_value), level)


def _format_column(option: str, old: Any, new: Any) -> str:
    if option:
        return _BECAME[bool(new)] if option == "may_be_missing" else _changed(option, old, new)
    return "was removed" if new is None else f"is new and {'optional' if new['may_be_missing'] else 'required'}"


_BECAME: Final = {True: "was required and became optional", False: "was optional and became required"}


def _is_compatible_sent(option: str, old: Wire, new: Wire) -> bool:
    if not option:
        return bool(new) and bool(new["may_be_missing"])
    return IS_COMPATIBLE.get(option, _never)(old.get(option), new.get(option))


def _is_compatible_unsent(option: str, old: Wire, new: Wire) -> bool:
    """For the prediction, which callers read, and the outcome, which they never see."""
    if not (_is_prediction(old) or _is_prediction(new)):
        return True
    # No caller reads a new prediction yet.
    return not old if not option else IS_COMPATIBLE.get(option, _never)(new.get(option), old.get(option))


def _is_prediction(column: Wire) -> bool:
    return "PREDICTION" in column.get("roles", ())


def _never(old: Any, new: Any) -> bool:
    return False


def _always(old: Any, new: Any) -> bool:
    return True


IS_COMPATIBLE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "number": _never,
    "kind": _never,
    "unit": _never,
    "may_be_missing": lambda old, new: bool(new),
    "minimum": lambda old, new: new is None or (old is not None and new < old),
    "maximum": lambda old, new: new is None or (old is not None and new > old),
    "categories": lambda old, new: not new or (bool(old) and set(old) <= set(new)),
    "pattern": lambda old, new: not new,
    "roles": _always,
}
"""Whether a column still allows every value that it did, by option. For a prediction, old and new change places.

A change of an option that is not listed here is breaking.
"""


def _changed(what: str, old: Any, new: Any) -> str:
    return f"changed its {what.replace('_', ' ')} from {_format(old)} to {_format(new)}"


def _format(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).removesuffix(".0")
