"""Gates on how a model behaves, whatever its metrics say; after Ribeiro et al. 2020 (CheckList).

Each is judged on rows spread evenly over those of the evaluation, so that it is quick.
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
"""Takes columns and returns them changed: as many rows, and no column less."""


@dataclass(frozen=True)
class Invariance:
    """A change that should not matter changes no probability by more than a little.

    Attributes:
        what: is changed; part of the gate's name.
        at_most: the largest change of a probability, inclusive.
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
    """A change that should matter moves probabilities the way it should.

    Attributes:
        what: is changed; part of the gate's name.
        increases: whether the change should make the label likelier; otherwise less likely.
        share: of the rows must move that way, at least. Those that do not move do not count as moving.
        by: how far they must move that way on average, at least.
    """

    what: str
    change: Change
    increases: bool
    share: float = 0.95
    by: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ContractError(f"{self.name}: share is {self.share:g}; allowed are numbers above 0 up to 1")
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
    """What everybody knows, the model knows: probabilities of clear-cut cases.

    Attributes:
        what: kind of case; part of the gate's name.
        rows: contract columns, those of ROLE_FEATURE at least.
        low, high: each probability lies between them, inclusive.
    """

    what: str
    rows: Columns
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ContractError(f"{self.name}: from {self.low:g} to {self.high:g} is no range within 0 and 1")
        if (self.low, self.high) == (0, 1):
            raise ContractError(f"{self.name}: all probabilities are from 0 to 1, so that it cannot fail")
        if len(lengths := {len(values) for values in self.rows.values()}) != 1 or lengths == {0}:
            raise ContractError(f"{self.name}: columns have {sorted(lengths)} rows; needed is one number from 1")

    @property
    def name(self) -> str:
        return f"minimum function: {self.what}"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"from {self.low:g} to {self.high:g}"
        features = (c.name for c in evidence.model.contract.columns if Role.FEATURE in c.roles)
        if missing := [name for name in features if name not in self.rows]:
            raise ContractError(f"{self.name}: its rows lack the columns {', '.join(missing)}; add them")
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
    """Positions of a sample of rows, and what is answered before and after a change.

    Raises:
        ContractError: the change is none, adds or drops columns, or changes the number of rows.
    """
    sample = spread(len(evidence.rows), _ROWS)
    columns = {name: values[sample] for name, values in evidence.rows.columns.items()}
    # It gets copies: one that writes into them would change what it is compared with.
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
                f"{gate}: the change makes {len(changed[name])} rows of {len(values)} in column {name}; keep them"
            )
    if all(_is_same(values, changed[name]) for name, values in columns.items()):
        raise ContractError(f"{gate}: the change changes no value, so that nothing is judged")


def _is_same(values: NDArray[np.generic], changed: NDArray[np.generic]) -> bool:
    missing = (values != values) & (changed != changed)  # noqa: PLR0124 - NaN and NaT are unlike themselves
    return bool(np.all((values == changed) | missing))
