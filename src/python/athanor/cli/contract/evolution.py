"""How the contract of each proto package differs from an earlier one."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from athanor.contract.evolution.compatibility import Change, compare, list_breaking
from athanor.contract.wire import Wire


class State(enum.Enum):
    """Result of comparing a proto package with an earlier revision or release.

    UNREADABLE: the earlier .proto file declares no contract by today's rules, so that nothing can rely on it.
    """

    NEW = "new"
    REMOVED = "removed"
    UNREADABLE = "unreadable"
    BREAKING = "breaking"
    COMPATIBLE = "compatible"
    SAME = "same"


@dataclass(frozen=True)
class Evolution:
    """Differences of one proto package from an earlier revision or release.

    Attributes:
        package: "flight_delay.v1".
        changes: breaking ones first; empty unless both contracts can be read.
        reason: why the earlier contract is unreadable; "" otherwise.
    """

    package: str
    state: State
    changes: tuple[Change, ...] = ()
    reason: str = ""


def compare_packages(earlier: Mapping[str, Wire | str], now: Mapping[str, Wire]) -> Iterator[Evolution]:
    """Compares contracts by their proto packages.

    Args:
        earlier: `Contract.wire` by package, or why it could not be read.
        now: likewise.
    """
    for package in sorted(earlier.keys() | now.keys()):
        before, after = earlier.get(package), now.get(package)
        if after is None:
            yield Evolution(package, State.REMOVED)
        elif before is None:
            yield Evolution(package, State.NEW)
        elif isinstance(before, str):
            yield Evolution(package, State.UNREADABLE, reason=before)
        else:
            changes = compare(before, after)
            state = State.BREAKING if list_breaking(changes) else State.COMPATIBLE if changes else State.SAME
            yield Evolution(package, state, changes)
