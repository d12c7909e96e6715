"""Whether callers of one version of a contract can go on under another."""

from collections.abc import Iterator, Mapping
from typing import Any


def find_breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """What a caller who keeps to the old contract would stumble over under the new one; empty if nothing.

    Args:
        old, new: `Contract.promises`.
    """
    return tuple(_breaking_changes(old, new))


def _breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old["method"] != new["method"]:
        yield f"method {old['method']} became {new['method']}"
    yield from _changed_on_the_wire(old["messages"], new["messages"])
    for name, column in new["row_columns"].items():
        if name in old["row_columns"]:
            yield from _narrowed(name, old["row_columns"][name], column)
        elif not column["may_be_missing"]:
            yield f"column {name} is new and required"
    for name, column in old["other_columns"].items():
        yield from _changed_unit(name, column, new["other_columns"].get(name, column))


def _changed_on_the_wire(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for message, fields in old.items():
        for field, wire in fields.items():
            if new.get(message, {}).get(field) != wire:
                yield f"field {message}.{field} was removed or changed on the wire"


def _narrowed(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Values of a column that were allowed and are not any more, or that mean something else."""
    yield from _changed_unit(name, old, new)
    if old["may_be_missing"] and not new["may_be_missing"]:
        yield f"column {name} became required"
    if new["minimum"] is not None and (old["minimum"] is None or new["minimum"] > old["minimum"]):
        yield f"column {name} raised its minimum to {new['minimum']:g}"
    if new["maximum"] is not None and (old["maximum"] is None or new["maximum"] < old["maximum"]):
        yield f"column {name} lowered its maximum to {new['maximum']:g}"
    if new["categories"] and not set(old["categories"]) <= set(new["categories"]):
        yield f"column {name} lost categories: {', '.join(sorted(set(old['categories']) - set(new['categories'])))}"
    if new["categories"] and not old["categories"]:
        yield f"column {name} became restricted to categories"
    if new["pattern"] and new["pattern"] != old["pattern"]:
        yield f"column {name} changed its pattern"


def _changed_unit(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old["unit"] != new["unit"]:
        yield f"column {name} changed its unit from {old['unit']!r} to {new['unit']!r}"
