"""Behavioural gates, independent of metrics, after Ribeiro et al. 2020 (CheckList).

To be fast, they use up to 2,000 rows, evenly spaced over the held-out rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns, Role
from athanor.errors import ContractError
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence, spread
from athanor.training.evaluation.metrics import describe_invalid
from athanor.training.gates.bounds import require_range
from athanor.training.gates.gate import make_result

_ROWS: Final = 2_000

Change: TypeAlias = Callable[[Columns], Columns]
"""Takes contract columns and returns changed copies: the same columns, with as many rows."""


@dataclass(frozen=True)
class Invariance:
    """A change that should not matter changes no probability by more than a bound.

    Attributes:
        what: what is changed; part of the gate's name.
        change: takes contract columns and returns changed copies. `run` raises ContractError if it changes nothing,
            adds or drops columns, or changes the number of rows.
        at_most: largest allowed change of a probability, inclusive; in [0, 1).

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

    def __post_init__(self) -> None:
        require_range(self.name, "at_most", self.at_most, 0.0, 1.0)

    @property
    def name(self) -> str:
        return f"invariance: {self.what}"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"a change of at most {self.at_most:g}"
        sample, (before, after) = _predict_twice(self.name, self.change, evidence)
        if problem := describe_invalid(before) or describe_invalid(after):
            return make_result(self, False, None, wanted, problem)
        changes = np.abs(after - before)
        worst = int(changes.argmax())
        explanation = (
            f"of {len(sample):,} rows the largest change of a probability is {changes[worst]:.4g}, from "
            f"{before[worst]:.4g} to {after[worst]:.4g} in row {sample[worst]}"
        )
        return make_result(self, bool(changes[worst] <= self.at_most), changes[worst], wanted, explanation)


@dataclass(frozen=True)
class Direction:
    """A change that should matter moves probabilities in the right direction.

    Attributes:
        what: what is changed; part of the gate's name.
        change: as in `Invariance`.
        increases: whether the change must increase probabilities; otherwise it must decrease them.
        share: smallest share of rows that must move in that direction, in (0, 1]. A row that does not move does not
            count.
        by: smallest mean move in that direction, in [0, 1).

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

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ContractError(f"{self.name}: share is {self.share:g}; it must be above 0 and at most 1")
        require_range(self.name, "by", self.by, 0.0, 1.0)

    @property
    def name(self) -> str:
        return f"direction: {self.what}"

    def run(self, evidence: Evidence) -> GateResult:
        way = "up" if self.increases else "down"
        wanted = f"{self.share:.4g} of the rows or more go {way}, by {self.by:g} or more on average"
        sample, (before, after) = _predict_twice(self.name, self.change, evidence)
        if problem := describe_invalid(before) or describe_invalid(after):
            return make_result(self, False, None, wanted, problem)
        moves = after - before if self.increases else before - after
        share, mean = float((moves > 0).mean()), float(moves.mean())
        explanation = (
            f"of {len(sample):,} rows {share:.4g} go {way}, by {mean:.4g} on average; the worst is row "
            f"{sample[moves.argmin()]}, which goes from {before[moves.argmin()]:.4g} to {after[moves.argmin()]:.4g}"
        )
        return make_result(self, share >= self.share and mean >= self.by, share, wanted, explanation)


@dataclass(frozen=True)
class MinimumFunction:
    """Clear-cut cases get probabilities in an expected range.

    Attributes:
        what: kind of case; part of the gate's name.
        rows: contract columns of the cases, at least those with ROLE_FEATURE; `run` raises ContractError otherwise.
        low, high: bounds of each probability, inclusive; narrower than [0, 1].

    >>> largest = {"amount": np.array([9.0]), "color": np.array(["red"], dtype=object)}
    >>> MinimumFunction("largest amount", largest, low=0.0, high=1.0)
    Traceback (most recent call last):
    athanor.errors.ContractError: minimum function: largest amount: low 0 and high 1 allow every probability, ...
    >>> MinimumFunction("largest amount", largest, low=0.9).run(evidence).passed
    True
    """

    what: str
    rows: Columns
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ContractError(f"{self.name}: low {self.low:g} and high {self.high:g} are not a range within 0 and 1")
        if (self.low, self.high) == (0, 1):
            raise ContractError(f"{self.name}: low 0 and high 1 allow every probability, so the gate could never fail")
        if len(lengths := {len(values) for values in self.rows.values()}) != 1 or lengths == {0}:
            raise ContractError(
                f"{self.name}: columns have {sorted(lengths)} rows; they must have the same number, at least 1"
            )

    @property
    def name(self) -> str:
        return f"minimum function: {self.what}"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"from {self.low:g} to {self.high:g}"
        features = (c.name for c in evidence.model.contract.columns if Role.FEATURE in c.roles)
        if missing := [name for name in features if name not in self.rows]:
            raise ContractError(f"{self.name}: its rows lack the feature columns {', '.join(missing)}; add them")
        probabilities = evidence.predict(self.rows)
        if problem := describe_invalid(probabilities):
            return make_result(self, False, None, wanted, problem)
        outside = np.maximum(self.low - probabilities, probabilities - self.high)
        worst = int(outside.argmax())
        explanation = f"of {len(probabilities):,} cases the worst is row {worst} with {probabilities[worst]:.4g}"
        return make_result(self, bool(outside[worst] <= 0), probabilities[worst], wanted, explanation)


def _predict_twice(
    gate: str, change: Change, evidence: Evidence
) -> tuple[NDArray[np.int64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Positions of a sample of rows, and their probabilities before and after a change.

    Raises:
        ContractError: the change changes nothing, adds or drops columns, or changes the number of rows.
    """
    sample = spread(len(evidence.rows), _ROWS)
    columns = {name: values[sample] for name, values in evidence.rows.columns.items()}
    # Copies, because a change that writes into its input would alter what it is compared with.
    changed = change({name: values.copy() for name, values in columns.items()})
    _require_change(gate, columns, changed)
    return sample, (evidence.predict(columns), evidence.predict(changed))


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
