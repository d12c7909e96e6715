"""Gate on how often intervals and sets hold the outcome."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from athanor.errors import ContractError
from athanor.release.record import GateResult
from athanor.tasks.task import Task
from athanor.training.evaluation.evidence import Evidence
from athanor.training.evaluation.metrics import describe_invalid, evaluate_part, select
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.bounds import require_bounds, require_count, require_range
from athanor.training.gates.gate import make_result

_METRIC: Final = "coverage"
_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Coverage:
    """The share of outcomes that the intervals or sets hold is within bounds, overall and in each group of rows.

    Attributes:
        at_least, at_most: bounds over all rows, inclusive; at least one is required.
        slices: each value of each slice is a group.
        slice_margin: how far outside these bounds a group may be, inclusive; in [0, 1). Few rows scatter: of 100 rows,
            90 % intervals hold 84 to 96 in most cases.
        smallest_rows: groups with fewer rows are skipped. If all are, the gate fails.

    >>> Coverage(at_least=1.5)
    Traceback (most recent call last):
    athanor.errors.ContractError: coverage: at_least is 1.5; it must be above 0 and at most 1
    >>> Coverage(at_least=0.88, at_most=0.92).name
    'coverage'
    """

    at_least: float | None = None
    at_most: float | None = None
    slices: tuple[Slice, ...] = ()
    slice_margin: float = 0.0
    smallest_rows: int = 100

    def __post_init__(self) -> None:
        require_bounds(self.name, self.at_least, self.at_most)
        if self.at_least is not None and not 0 < self.at_least <= 1:
            raise ContractError(f"{self.name}: at_least is {self.at_least:g}; it must be above 0 and at most 1")
        if self.at_most is not None:
            require_range(self.name, "at_most", self.at_most, 0.0, 1.0)
        require_range(self.name, "slice_margin", self.slice_margin, 0.0, 1.0)
        require_count(self.name, "smallest_rows", self.smallest_rows)

    def list_problems(self, task: Task) -> Iterator[str]:
        if _METRIC not in task.metrics or task.coverage is None:
            yield (
                f"{self.name}: the answer says no doubt; declare columns with ROLE_LOWER and ROLE_UPPER, or with "
                "ROLE_IN_SET, in the prediction message, and a coverage in the recipe"
            )

    @property
    def name(self) -> str:
        return "coverage"

    def run(self, evidence: Evidence) -> GateResult:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
        if self.slices:
            wanted += f", in slices of {self.smallest_rows:,} rows or more within {self.slice_margin:g} of it"
        if problem := describe_invalid(evidence.task.contract, evidence.answers):
            return make_result(self, False, None, wanted, problem)
        found = list(self._measure(evidence))
        if not found:
            return make_result(self, False, None, wanted, "the answers have no intervals or sets")
        explanation = f"the coverage of all rows is {found[0][1]:.4g}"
        if self.slices and len(found) == 1:
            explanation += "; no slice has that many rows, so none was looked at; lower smallest_rows"
            return make_result(self, False, found[0][1], wanted, explanation)
        outside, coverage, words = max(found)
        if self.slices:
            explanation += f"; of these and {len(found) - 1} slices the farthest is {words} with {coverage:.4g}"
        # 0.9 - 0.85 - 0.05 is no exact zero.
        return make_result(self, outside <= _ROUNDING, coverage, wanted, explanation)

    def _measure(self, evidence: Evidence) -> Iterator[tuple[float, float, str]]:
        """How far outside its bounds the coverage of all rows is, and of each large group; and the coverage itself."""
        everything = np.ones(len(evidence.rows), np.bool_)
        groups = [("all rows", everything, 0.0)]
        for chosen in self.slices:
            for value, rows in select(chosen, evidence.rows.columns):
                if (count := int(rows.sum())) >= self.smallest_rows:
                    groups.append((f"{chosen.name} {value or '(missing)'} ({count:,} rows)", rows, self.slice_margin))
        for words, rows, margin in groups:
            found = evaluate_part(evidence.task, evidence.rows, evidence.answers, rows)
            if _METRIC in found:
                yield self._exceed(found[_METRIC]) - margin, found[_METRIC], words

    def _exceed(self, coverage: float) -> float:
        """How far the coverage is outside the bounds; negative within them."""
        below = -np.inf if self.at_least is None else self.at_least - coverage
        above = -np.inf if self.at_most is None else coverage - self.at_most
        return max(below, above)
