"""Behavioural gates, independent of metrics, after Ribeiro et al. 2020 (CheckList).

To be fast, they use up to 2,000 rows, evenly spaced over the held-out rows.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Role
from athanor.errors import ContractError
from athanor.release.record import GateResult
from athanor.tasks.task import Task
from athanor.training.evaluation.evidence import Evidence, spread
from athanor.training.evaluation.metrics import describe_invalid
from athanor.training.gates.bounds import find_column, list_change_problems, require_size
from athanor.training.gates.gate import make_result

_ROWS: Final = 2_000

Change: TypeAlias = Callable[[Columns], Columns]
"""Takes contract columns and returns changed copies: the same columns, with as many rows."""

Answers: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The number that a gate is about, before and after a change; shape (n,) each."""


@dataclass(frozen=True)
class Invariance:
    """A change that should not matter changes no answer by more than a bound.

    Attributes:
        what: what is changed; part of the gate's name.
        change: takes contract columns and returns changed copies. `run` raises ContractError if it changes nothing,
            adds or drops columns, or changes the number of rows.
        at_most: largest allowed change, inclusive, from 0.
        of: the category whose probability is meant; None for the answer itself, a probability or a number.

    >>> Invariance("nothing", lambda columns: columns, at_most=0.0).run(evidence)
    Traceback (most recent call last):
    athanor.errors.ContractError: invariance: nothing: the change changes no value, so the gate would test nothing
    >>> def recolor(columns: Columns) -> Columns:
    ...     return {**columns, "color": np.full_like(columns["color"], "green")}
    >>> Invariance("color", recolor, at_most=0.0).run(evidence).passed
    True
    """

    what: str
    change: Change
    at_most: float
    of: str | None = None

    def __post_init__(self) -> None:
        require_size(self.name, "at_most", self.at_most)

    def list_problems(self, task: Task) -> Iterator[str]:
        return list_change_problems(self.name, task, self.of, "at_most", self.at_most)

    @property
    def name(self) -> str:
        return f"invariance: {self.what}"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"a change of at most {self.at_most:g}"
        sample, found = _predict_twice(self.name, self.change, self.of, evidence)
        if isinstance(found, str):
            return make_result(self, False, None, wanted, found)
        before, after = found
        changes = np.abs(after - before)
        worst = int(changes.argmax())
        explanation = (
            f"of {len(sample):,} rows the largest change of {_describe(self.of)} is {changes[worst]:.4g}, from "
            f"{before[worst]:.4g} to {after[worst]:.4g} in row {sample[worst]}"
        )
        return make_result(self, bool(changes[worst] <= self.at_most), changes[worst], wanted, explanation)


@dataclass(frozen=True)
class Direction:
    """A change that should matter moves answers in the right direction.

    Attributes:
        what: what is changed; part of the gate's name.
        change: as in `Invariance`.
        increases: whether the change must increase answers; otherwise it must decrease them.
        share: smallest share of rows that must move in that direction, in (0, 1]. A row that does not move does not
            count.
        by: smallest mean move in that direction, from 0.
        of: as in `Invariance`.

    >>> def add_one(columns: Columns) -> Columns:
    ...     return {**columns, "amount": columns["amount"] + 1}
    >>> Direction("amount", add_one, increases=False).run(evidence).passed
    False
    >>> Direction("amount", add_one, increases=True, share=1.0, by=0.05).run(evidence).passed
    True
    """

    what: str
    change: Change
    increases: bool
    share: float = 0.95
    by: float = 0.0
    of: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ContractError(f"{self.name}: share is {self.share:g}; it must be above 0 and at most 1")
        require_size(self.name, "by", self.by)

    def list_problems(self, task: Task) -> Iterator[str]:
        return list_change_problems(self.name, task, self.of, "by", self.by)

    @property
    def name(self) -> str:
        return f"direction: {self.what}"

    def run(self, evidence: Evidence) -> GateResult:
        way = "up" if self.increases else "down"
        wanted = f"{self.share:.4g} of the rows or more go {way}, by {self.by:g} or more on average"
        sample, found = _predict_twice(self.name, self.change, self.of, evidence)
        if isinstance(found, str):
            return make_result(self, False, None, wanted, found)
        before, after = found
        moves = after - before if self.increases else before - after
        share, mean = float((moves > 0).mean()), float(moves.mean())
        explanation = (
            f"of {len(sample):,} rows {share:.4g} go {way}, by {mean:.4g} on average; the worst is row "
            f"{sample[moves.argmin()]}, which goes from {before[moves.argmin()]:.4g} to {after[moves.argmin()]:.4g}"
        )
        return make_result(self, share >= self.share and mean >= self.by, share, wanted, explanation)


@dataclass(frozen=True)
class MinimumFunction:
    """Clear-cut cases get answers in an expected range.

    Attributes:
        what: kind of case; part of the gate's name.
        rows: contract columns of the cases, at least those with ROLE_FEATURE; `run` raises ContractError otherwise.
        low, high: bounds of each answer, inclusive; at least one is required.
        of: as in `Invariance`.

    >>> largest = {"amount": np.array([9.0]), "color": np.array(["red"], dtype=object)}
    >>> MinimumFunction("largest amount", largest)
    Traceback (most recent call last):
    athanor.errors.ContractError: minimum function: largest amount: neither low nor high is given, ...
    >>> MinimumFunction("largest amount", largest, low=0.9).run(evidence).passed
    True
    """

    what: str
    rows: Columns
    low: float | None = None
    high: float | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ContractError(f"{self.name}: neither low nor high is given, so the gate could never fail; give one")
        for what, bound in (("low", self.low), ("high", self.high)):
            if bound is not None and not math.isfinite(bound):
                raise ContractError(f"{self.name}: {what} is {bound:g}; it must be finite")
        if self._lowest > self._highest:
            raise ContractError(f"{self.name}: low {self._lowest:g} and high {self._highest:g} are not a range")
        if len(lengths := {len(values) for values in self.rows.values()}) != 1 or lengths == {0}:
            raise ContractError(
                f"{self.name}: columns have {sorted(lengths)} rows; they must have the same number, at least 1"
            )

    def list_problems(self, task: Task) -> Iterator[str]:
        try:
            column = find_column(self.name, task, self.of)
        except ContractError as error:
            yield str(error)
            return
        if self._lowest <= column.minimum and self._highest >= column.maximum:
            yield (
                f"{self.name}: low {self._lowest:g} and high {self._highest:g} allow every value of {column.name}, so "
                "the gate could never fail"
            )
        if self._lowest > column.maximum or self._highest < column.minimum:
            yield (
                f"{self.name}: low {self._lowest:g} and high {self._highest:g} allow no value of {column.name}, so "
                f"nothing could pass; it is {column.allowed}"
            )

    @property
    def name(self) -> str:
        return f"minimum function: {self.what}"

    @property
    def _lowest(self) -> float:
        return -np.inf if self.low is None else self.low

    @property
    def _highest(self) -> float:
        return np.inf if self.high is None else self.high

    def run(self, evidence: Evidence) -> GateResult:
        bounds = (("at least", self.low), ("at most", self.high))
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
        features = (c.name for c in evidence.model.contract.columns if Role.FEATURE in c.roles)
        if missing := [name for name in features if name not in self.rows]:
            raise ContractError(f"{self.name}: its rows lack the feature columns {', '.join(missing)}; add them")
        column = find_column(self.name, evidence.task, self.of)
        answers = evidence.predict(self.rows)
        if problem := describe_invalid(evidence.task.contract, answers):
            return make_result(self, False, None, wanted, problem)
        values = answers[column.name]
        outside = np.maximum(self._lowest - values, values - self._highest)
        worst = int(outside.argmax())
        explanation = f"of {len(values):,} cases the worst is row {worst} with {values[worst]:.4g}"
        return make_result(self, bool(outside[worst] <= 0), values[worst], wanted, explanation)


def _describe(category: str | None) -> str:
    return "an answer" if category is None else f"the probability of {category}"


def _predict_twice(
    gate: str, change: Change, category: str | None, evidence: Evidence
) -> tuple[NDArray[np.int64], Answers | str]:
    """Positions of a sample of rows, and their answers before and after a change, or what is wrong with these.

    Raises:
        ContractError: there is no such number in the answer. Or the change changes nothing, adds or drops columns, or
            changes the number of rows.
    """
    column = find_column(gate, evidence.task, category)
    sample = spread(len(evidence.rows), _ROWS)
    columns = {name: values[sample] for name, values in evidence.rows.columns.items()}
    # Copies, because a change that writes into its input would alter what it is compared with.
    changed = change({name: values.copy() for name, values in columns.items()})
    _require_change(gate, columns, changed)
    answers = evidence.predict(columns), evidence.predict(changed)
    for each in answers:
        if problem := describe_invalid(evidence.task.contract, each):
            return sample, problem
    return sample, (answers[0][column.name], answers[1][column.name])


def _require_change(gate: str, columns: Columns, changed: Columns) -> None:
    if columns.keys() != changed.keys():
        differing = ", ".join(sorted(columns.keys() ^ changed.keys()))
        raise ContractError(f"{gate}: the change adds or drops the columns {differing}; it may only replace values")
    for name, values in columns.items():
        if len(changed[name]) != len(values):
            raise ContractError(
                f"{gate}: the change turns {len(values)} rows of {name} into {len(changed[name])}; keep the number"
            )
    if all(_is_same(values, changed[name]) for name, values in columns.items()):
        raise ContractError(f"{gate}: the change changes no value, so the gate would test nothing")


def _is_same(values: NDArray[np.generic], changed: NDArray[np.generic]) -> bool:
    missing = (values != values) & (changed != changed)  # noqa: PLR0124 - NaN and NaT are not equal to themselves
    return bool(np.all((values == changed) | missing))
