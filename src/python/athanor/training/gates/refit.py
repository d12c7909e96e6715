"""The gate on a refit: its model has seen the rows of the evaluation, so that no metric can judge it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from athanor.contract.columns import Columns
from athanor.release.answers import measure_difference
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence
from athanor.training.gates.bounds import require_range
from athanor.training.gates.gate import make_result

_ALWAYS_ALLOWED: Final = 0.01
"""Share of the answers' scale that they may move by if there is hardly an error."""


@dataclass(frozen=True)
class NearEvaluated:
    """After the refit answers are near those of the evaluated model.

    Both answer the held-out rows, and may differ on average by as much as the evaluated model and the outcomes do: a
    model that has seen the outcomes moves towards them, by their distance at most. Any more is no refinement.

    Attributes:
        at_most: largest allowed mean difference, inclusive, in units of the evaluated model's mean error.

    >>> NearEvaluated(at_most=-1.0)
    Traceback (most recent call last):
    athanor.errors.ContractError: answers near the evaluated model's: at_most is -1; it must be at least 0 and less ...
    >>> NearEvaluated().run(evidence).explanation
    'there was no refit'
    """

    at_most: float = 1.0

    def __post_init__(self) -> None:
        require_range(self.name, "at_most", self.at_most, 0.0, np.inf)

    @property
    def name(self) -> str:
        return "answers near the evaluated model's"

    def run(self, evidence: Evidence) -> GateResult:
        if evidence.evaluated is None:
            return make_result(self, True, None, "a refit", "there was no refit")
        task, rows = evidence.task, evidence.rows
        error = self._measure(evidence, evidence.evaluated, task.finish(task.perfect_outputs(rows.labels)))
        found = self._measure(evidence, evidence.answers, evidence.evaluated)
        allowed = self.at_most * error + _ALWAYS_ALLOWED * task.scale(rows.labels)
        return make_result(
            self,
            found <= allowed,
            found,
            f"a mean difference of at most {allowed:.4g}",
            f"over {len(rows):,} held-out rows the two models' answers differ by {found:.4g} on average, the evaluated "
            f"model's and the outcomes by {error:.4g}",
        )

    def _measure(self, evidence: Evidence, ours: Columns, theirs: Columns) -> float:
        """The weighted mean difference of the predicted numbers and probabilities; intervals follow from them."""
        compared = evidence.task.finish(evidence.task.perfect_outputs(evidence.rows.labels[:1]))
        columns = [column for column in evidence.model.contract.answer if column.name in compared]
        return float(np.average(measure_difference(columns, ours, theirs), weights=evidence.rows.weights))
