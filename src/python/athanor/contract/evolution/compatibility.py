"""Differences between two versions of a contract, and whether callers and stored rows of the old one keep working."""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from athanor.contract.columns import ANSWERS
from athanor.contract.evolution.packages import next_package, package_of
from athanor.contract.wire import USUAL_TYPES, Wire, default_json_name
from athanor.errors import GateError


class Level(enum.Enum):
    """What a change means for callers and stored rows of the old contract."""

    BREAKING = "breaking"
    COMPATIBLE = "compatible"


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Attributes:
        subject: "column distance", "field flight_delay.v1.Flight.distance".
        what: the change, with the old value and the new one.
        remedy: what to do instead within the proto package; "" for a compatible change.
    """

    subject: str
    what: str
    level: Level
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.subject} {self.what}"


def compare(old: Wire, new: Wire) -> tuple[Change, ...]:
    """Every difference between two contracts, breaking ones first; empty if and only if their wires are the same.

    Everything that callers send and datasets store must stay allowed and keep its meaning; more may become allowed.
    Everything that callers read must stay within what they expect; it may become less. So compatibility is transitive:
    a contract that is compatible with the newest one is compatible with all before it.

    Args:
        old, new: `Contract.wire`, of one proto package.
    """
    return tuple(sorted(_compare(old, new), key=lambda change: change.level is Level.COMPATIBLE))


def list_breaking(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.level is Level.BREAKING]


def describe_breaking(changes: Iterable[Change]) -> str:
    """Breaking changes with their remedies, one a line."""
    return "\n".join(f"  - {change}; {change.remedy}" for change in list_breaking(changes))


def require_compatible(old: Wire, new: Wire, old_name: str, new_name: str) -> None:
    """Raises GateError if a contract breaks callers or stored rows of an earlier one of its proto package.

    Args:
        old_name, new_name: what has the contract, for the message: "rain 1.2.0", "release 0123456789ab".
    """
    changes = compare(old, new)
    if breaking := list_breaking(changes):
        package = package_of(new)
        raise GateError(
            f"{new_name} breaks callers or stored rows of {old_name}, which has the same proto package {package}, by "
            f"{len(breaking)} change{'s' if breaking[1:] else ''}:\n{describe_breaking(changes)}\n"
            f"Follow each remedy and train again, or declare the contract as {next_package(package)}"
        )


def _compare(old: Wire, new: Wire) -> Iterator[Change]:
    if old["method"] != new["method"]:
        yield _break("the method", _changed("name", old["method"], new["method"]), "keep service and method")
    if old["outcome"] != new["outcome"]:
        yield _break("the outcome", _changed("message", old["outcome"], new["outcome"]), "keep its name")
    for part, usual in USUAL_TYPES.items():
        if (before := old.get(part, usual)) != (after := new.get(part, usual)):
            yield _break("the method", _changed(part, before, after), "keep the message, and add fields to it")
    yield from _compare_messages(old["messages"], new["messages"])
    yield from _compare_enums(old.get("enums", {}), new.get("enums", {}))
    yield from _compare_reserved(old, new)
    for name, before, after in _differences(old.get("packages", {}), new.get("packages", {})):
        file, _, option = name.partition(": ")
        # Generated code that callers have still works; generated again, it lies elsewhere.
        yield Change(f"file {file}", _changed(option, before, after), Level.COMPATIBLE)
    yield from _compare_columns(old["row_columns"], new["row_columns"])
    yield from _compare_columns(old["other_columns"], new["other_columns"])


def _break(subject: str, what: str, remedy: str) -> Change:
    return Change(subject, what, Level.BREAKING, remedy)


def _differences(old: Wire, new: Wire) -> Iterator[tuple[str, Any, Any]]:
    """Name, old value and new value of each difference; None for an absent value."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before != after or (name in old) != (name in new):
            yield name, before, after


def _compare_messages(old: Wire, new: Wire) -> Iterator[Change]:
    for message, before, after in _differences(old, new):
        if before is None:
            yield Change(f"message {message}", "is new", Level.COMPATIBLE)
        if after is None:
            yield _break(f"message {message}", "was removed", "keep it")
        for field, wire, new_wire in _differences(before or {}, after or {}):
            subject = f"field {message}.{field}"
            if wire is None:
                # Whether callers must give it is a matter of its column.
                yield Change(subject, "is new", Level.COMPATIBLE)
            elif new_wire is None:
                yield _break(subject, "was removed", "keep it")
            else:
                yield from _compare_field(subject, field, wire, new_wire)


def _compare_field(subject: str, name: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Change]:
    if old[:_UNUSUAL] != new[:_UNUSUAL]:
        what = _changed("wire format", _format_wire(old), _format_wire(new))
        yield _break(subject, what, "keep number and type, and add another field")
    usual = {"json_name": default_json_name(name), "presence": "implicit", "required": False}
    before, after = ({**usual, **dict(*wire[_UNUSUAL:])} for wire in (old, new))
    for what, value, new_value in _differences(before, after):
        yield _break(subject, _changed(_WORDS.get(what, what), value, new_value), _KEEP)


# Where the dictionary of what is unusual about a field stands, if it has one.
_UNUSUAL: Final = 4
_WORDS: Final = {"json_name": "JSON name"}
_KEEP: Final = "keep it as it was"


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
                yield _break(subject, "was removed", "keep it")
            else:
                yield _break(subject, _changed("number", number, new_number), "keep the number, and add another value")


def _compare_reserved(old: Wire, new: Wire) -> Iterator[Change]:
    """A number that is no longer reserved may come back with another meaning."""
    enums = old.get("enums", {}).keys() | new.get("enums", {}).keys()
    for name, before, after in _differences(old.get("reserved", {}), new.get("reserved", {})):
        subject = f"{'enum' if name in enums else 'message'} {name}"
        lost = [_format_reserved(one) for one in before or () if not _is_reserved(one, after or ())]
        added = [_format_reserved(one) for one in after or () if not _is_reserved(one, before or ())]
        if lost:
            yield _break(subject, f"no longer reserves {', '.join(lost)}", "keep it reserved")
        if added:
            yield Change(subject, f"reserves {', '.join(added)}", Level.COMPATIBLE)


def _is_reserved(one: Any, reserved: Sequence[Any]) -> bool:
    """Whether a name or a range of numbers is among others."""
    if isinstance(one, str):
        return one in reserved
    return any(not isinstance(other, str) and other[0] <= one[0] and one[1] <= other[1] for other in reserved)


def _format_reserved(one: Any) -> str:
    if isinstance(one, str):
        return one
    return f"{one[0]}" if one[0] == one[1] else f"{one[0]} to {one[1]}"


def _format_wire(wire: Sequence[Any]) -> str:
    """As in a .proto file: "repeated toy.v1.Row = 1"."""
    number, kind, is_repeated, referred = wire[:_UNUSUAL]
    type_name = referred or FieldDescriptorProto.Type.Name(kind).removeprefix("TYPE_").lower()
    return f"{'repeated ' if is_repeated else ''}{type_name} = {number}"


def _compare_columns(old: Wire, new: Wire) -> Iterator[Change]:
    for name, before, after in _differences(old, new):
        is_read = _is_answer(before or after)
        if before is None or after is None:
            yield _compare_presence(f"column {name}", before, after, is_read)
            continue
        for option, value, new_value in _differences(before, after):
            what = _format_column(option, value, new_value)
            # What callers read may become less, where what they send may become more.
            pair = (new_value, value) if is_read else (value, new_value)
            if IS_COMPATIBLE.get(option, _never)(*pair):
                yield Change(f"column {name}", what, Level.COMPATIBLE)
            else:
                yield _break(f"column {name}", what, _REMEDIES.get(option, (_KEEP, _KEEP))[is_read])


def _compare_presence(subject: str, old: Wire | None, new: Wire | None, is_read: bool) -> Change:
    if new is None:
        is_feature = "FEATURE" in (old or {}).get("roles", ())
        return _break(subject, "was removed", "keep it; it may lose ROLE_FEATURE" if is_feature else "keep it")
    what = f"is new and {'optional' if new['may_be_missing'] else 'required'}"
    # Callers read no column that they do not know. Those that they do not send, and stored rows lack, must be optional.
    if is_read or new["may_be_missing"]:
        return Change(subject, what, Level.COMPATIBLE)
    return _break(subject, what, "declare it may_be_missing")


def _format_column(option: str, old: Any, new: Any) -> str:
    return _BECAME[bool(new)] if option == "may_be_missing" else _changed(option, old, new)


_BECAME: Final = {True: "was required and became optional", False: "was optional and became required"}


def _is_answer(column: Wire) -> bool:
    return not _ANSWERS.isdisjoint(column.get("roles", ()))


_ANSWERS: Final = frozenset(role.name for role in ANSWERS)


def _never(old: Any, new: Any) -> bool:
    return False


# What a model is fitted on, and how: callers and stored rows do not rely on it.
_OF_TRAINING: Final = frozenset({"FEATURE", "GROUP", "WEIGHT"})

IS_COMPATIBLE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "number": _never,
    "kind": _never,
    "unit": _never,
    "may_be_missing": lambda old, new: bool(new),
    "minimum": lambda old, new: new is None or (old is not None and new < old),
    "maximum": lambda old, new: new is None or (old is not None and new > old),
    "categories": lambda old, new: not new or (bool(old) and set(old) <= set(new)),
    "pattern": lambda old, new: not new,
    # The others say which rows are one and the same, when each happened, what is predicted, and what an answer means.
    "roles": lambda old, new: set(old) ^ set(new) <= _OF_TRAINING,
    "category": _never,
}
"""Whether a column still allows every value that it did, by option. For an answer, old and new change places.

A change of an option that is not listed here is breaking.
"""

_OTHER: Final = "keep it, and add another column"
_REMEDIES: Final[Mapping[str, tuple[str, str]]] = {
    "number": ("keep the number", "keep the number"),
    "kind": (_OTHER, _OTHER),
    "unit": (_OTHER, _OTHER),
    "may_be_missing": ("keep it optional", "keep it required"),
    "minimum": ("keep the range, or widen it", "keep the range, or narrow it"),
    "maximum": ("keep the range, or widen it", "keep the range, or narrow it"),
    "categories": ("keep each category; more may be added", "add no category"),
    "pattern": ("keep the pattern, or remove it", "keep the pattern"),
    "roles": ("change no role but ROLE_FEATURE, ROLE_GROUP and ROLE_WEIGHT", "keep the role, and add another column"),
    "category": ("keep the category", "keep the category, and add another column"),
}
"""What to do instead of a breaking change of an option: for a column that callers send, and for one that they read."""


def _changed(what: str, old: Any, new: Any) -> str:
    return f"changed its {what.replace('_', ' ')} from {_format(old)} to {_format(new)}"


def _format(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).removesuffix(".0")
