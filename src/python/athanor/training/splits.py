"""Splits: which rows train a model, and which are held out to evaluate it.

No group stands on both sides, if the contract has a column with ROLE_GROUP.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.errors import ContractError
from athanor.release.manifest import SplitResult
from athanor.tasks.task import Task

_MINUTES: Final = {"min": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}
Kind: TypeAlias = Literal["latest", "from", "share"]
_DRAWS: Final = 32
"""Orders of the groups that are drawn, of which the best is taken."""


@dataclass(frozen=True)
class Division:
    """The rows of a snapshot, divided; n rows.

    Attributes:
        trained, evaluated: masks of shape (n,). A row that is in neither is left out.
        result: what the split came to.
    """

    trained: NDArray[np.bool_]
    evaluated: NDArray[np.bool_]
    result: SplitResult


class Split(ABC):
    """How rows are divided.

    Attributes:
        is_by_time: whether all held-out rows are later than all training rows. The folds of a search follow.
        refits: whether a recipe fits the winner again on all rows unless it says otherwise.
    """

    is_by_time: ClassVar[bool]
    refits: ClassVar[bool]

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, vars(self).values()))})"

    def list_problems(self, contract: Contract) -> Iterator[str]:
        """Why rows of a contract cannot be divided so; nothing if they can."""
        if self.is_by_time and contract.event_time is None:
            yield (
                f"{self} needs an event time, and {contract.row.full_name} has no column with ROLE_EVENT_TIME; "
                "use Share, such as Share(0.2)"
            )

    @abstractmethod
    def divide(self, task: Task, columns: Columns) -> Division:
        """Divides rows. A part may come out empty.

        Args:
            columns: of the dataset, n rows in any order.
        """


@dataclass(frozen=True)
class _ByTime(Split):
    is_by_time: ClassVar = True
    kind: ClassVar[Kind]

    @abstractmethod
    def find_boundary(self, times: NDArray[np.datetime64]) -> np.datetime64:
        """The first instant that is held out; there is at least one row."""

    def divide(self, task: Task, columns: Columns) -> Division:
        event_time = task.contract.event_time
        if event_time is None:
            raise ContractError("\n".join(self.list_problems(task.contract)))
        times = columns[event_time.name]
        boundary = self.find_boundary(times) if len(times) else np.datetime64(0, "us")
        evaluated = times >= boundary
        trained = ~evaluated
        if (groups := _find_groups(task.contract, columns)) is not None:
            trained &= ~np.isin(groups, groups[evaluated])
        return _describe(self.kind, trained, evaluated, boundary=f"{boundary.astype('M8[us]')}Z")


@dataclass(frozen=True)
class Latest(_ByTime):
    """Holds out the newest rows.

    Attributes:
        age: the longest time before the snapshot's last event, such as "60d", in "min", "h", "d" or "w"; or a share of
            the rows. Rows of one instant stay together, so that the share may come out larger.

    >>> Latest("60d")
    Latest(age='60d')
    >>> Latest("60")
    Traceback (most recent call last):
    athanor.errors.ContractError: Latest('60'): an age is a whole number and min, h, d or w, such as "60d"; a share ...
    """

    kind: ClassVar = "latest"
    refits: ClassVar = True

    age: str | float

    def __post_init__(self) -> None:
        is_share = not isinstance(self.age, str) and 0 < self.age < 1
        if not is_share and _read_age(self.age) is None:
            raise ContractError(
                f'Latest({self.age!r}): an age is a whole number and min, h, d or w, such as "60d"; '
                "a share is a number between 0 and 1"
            )

    def find_boundary(self, times: NDArray[np.datetime64]) -> np.datetime64:
        age = _read_age(self.age)
        if age is not None:
            return np.datetime64(times.max() - age)
        held_out = max(1, round(float(self.age) * len(times)))
        return np.datetime64(np.sort(times)[len(times) - held_out])


@dataclass(frozen=True)
class From(_ByTime):
    """Holds out the rows from an instant on.

    Attributes:
        instant: with a time zone.

    >>> From(datetime(2013, 10, 1))
    Traceback (most recent call last):
    athanor.errors.ContractError: From(2013-10-01 00:00:00) has no time zone; add one, such as tzinfo=UTC
    """

    kind: ClassVar = "from"
    refits: ClassVar = False

    instant: datetime

    def __post_init__(self) -> None:
        if self.instant.tzinfo is None:
            raise ContractError(f"From({self.instant}) has no time zone; add one, such as tzinfo=UTC")

    def find_boundary(self, times: NDArray[np.datetime64]) -> np.datetime64:
        return np.datetime64(self.instant.astimezone(UTC).replace(tzinfo=None), "us")


@dataclass(frozen=True)
class Share(Split):
    """Holds out random rows, of each category of the label as many as its share; or random groups.

    A category with two rows or more is on both sides. Groups are drawn so that the shares come out as near as they can.

    Attributes:
        share: of the rows, between 0 and 1.
        seed: of the draw.

    >>> Share(1.0)
    Traceback (most recent call last):
    athanor.errors.ContractError: Share(1): a share is a number between 0 and 1
    """

    is_by_time: ClassVar = False
    refits: ClassVar = False

    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ContractError(f"Share({self.share:g}): a share is a number between 0 and 1")

    def divide(self, task: Task, columns: Columns) -> Division:
        labels = task.encode(columns[task.contract.label.name])
        strata = task.strata(labels)
        numbered = np.zeros(len(labels), np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
        groups = _find_groups(task.contract, columns)
        evaluated = self._draw_rows(numbered) if groups is None else self._draw_groups(groups, numbered)
        return _describe("share", ~evaluated, evaluated, seed=self.seed)

    def _draw_rows(self, strata: NDArray[np.int64]) -> NDArray[np.bool_]:
        drawn = np.random.default_rng(self.seed).permutation(len(strata))
        evaluated = np.zeros(len(strata), np.bool_)
        for stratum in np.unique(strata):
            rows = drawn[strata[drawn] == stratum]
            evaluated[rows[: min(max(1, round(self.share * len(rows))), len(rows) - 1)]] = True
        return evaluated

    def _draw_groups(self, groups: NDArray[np.int64], strata: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of several orders of the groups, and numbers of the first ones, those nearest to the wanted counts."""
        if len(groups) == 0:
            return np.zeros(0, np.bool_)
        counts = np.zeros((groups.max() + 1, strata.max() + 1))
        np.add.at(counts, (groups, strata), 1)
        wanted = self.share * counts.sum(axis=0)
        random = np.random.default_rng(self.seed)
        smallest, chosen = math.inf, np.empty(0, np.int64)
        for _ in range(_DRAWS):
            order = random.permutation(len(counts))
            # All groups but the last: none would be left to train.
            distances = np.abs(counts[order].cumsum(axis=0)[:-1] - wanted).sum(axis=1)
            if len(distances) and distances.min() < smallest:
                smallest, chosen = distances.min(), order[: distances.argmin() + 1]
        return np.isin(groups, chosen)


def _find_groups(contract: Contract, columns: Columns) -> NDArray[np.int64] | None:
    """The number of each row's group, from 0, shape (n,); None if the contract has no ROLE_GROUP."""
    if contract.group is None:
        return None
    values: NDArray[Any] = columns[contract.group.name]
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _read_age(age: str | float) -> np.timedelta64 | None:
    found = re.fullmatch(r"([1-9]\d{0,6})(min|h|d|w)", age) if isinstance(age, str) else None
    return np.timedelta64(int(found[1]) * _MINUTES[found[2]], "m") if found else None


def _describe(
    kind: Kind, trained: NDArray[np.bool_], evaluated: NDArray[np.bool_], boundary: str = "", seed: int | None = None
) -> Division:
    result = SplitResult(
        kind=kind,
        boundary=boundary,
        seed=seed,
        rows_trained=int(trained.sum()),
        rows_evaluated=int(evaluated.sum()),
        rows_left_out=int((~trained & ~evaluated).sum()),
    )
    return Division(trained, evaluated, result)
