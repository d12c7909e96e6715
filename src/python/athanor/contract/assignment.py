"""How requests are assigned to the sides of an experiment: by their key, where it can tell callers apart."""

import math
import re
from typing import Any, Final

from athanor.contract.columns import Kind
from athanor.contract.wire import Wire

# A share of fewer keys comes in lumps of more than a percent: all requests of a region, or all of them.
_FEWEST_KEYS: Final = 100


def tells_callers_apart(wire: Wire) -> bool:
    """Whether a contract has a key with enough values to share requests by it. Otherwise their ids share them."""
    return _count_keys(wire) >= _FEWEST_KEYS


def describe_assignment(wire: Wire) -> str:
    """How a request finds its side, for the person who begins an experiment."""
    names = ", ".join(_key(wire))
    if not names:
        return f"The contract has no key that could tell callers apart. {_BY_REQUEST}"
    if tells_callers_apart(wire):
        return (
            f"A request goes to one side by the header x-athanor-sticky-key, or else by {names} of its first row. "
            "Requests with the same key always go to the same side: if callers send one constant key, all of them do"
        )
    return f"The key, {names}, has {_count_keys(wire):.0f} possible values and cannot tell callers apart. {_BY_REQUEST}"


_BY_REQUEST: Final = (
    "A request goes to one side by the header x-athanor-sticky-key, or else by its id, x-request-id; send the header "
    "to keep a caller on one side"
)


def _key(wire: Wire) -> dict[str, Any]:
    """The key's columns, by name, in the order of their numbers."""
    found = {name: column for name, column in wire["row_columns"].items() if "KEY" in column["roles"]}
    return dict(sorted(found.items(), key=lambda item: item[1]["number"]))


def _count_keys(wire: Wire) -> float:
    """The number of keys that the contract allows: 1 without a key, infinite unless every column is bounded."""
    return math.prod(map(_count_values, _key(wire).values()))


def _count_values(column: Wire) -> float:
    lowest, highest = column["minimum"], column["maximum"]
    match Kind(column["kind"]):
        case Kind.BOOLEAN:
            return 2
        case Kind.TEXT if column["categories"]:
            return len(column["categories"])
        case Kind.TEXT if column["pattern"] and re.escape(column["pattern"]) == column["pattern"]:
            return 1
        case Kind.INTEGER if None not in (lowest, highest):
            return float(max(math.floor(highest) - math.ceil(lowest) + 1, 0))
        case Kind.NUMBER if None not in (lowest, highest) and lowest == highest:
            return 1
    return math.inf
