"""Gates on groups of rows: a good average can hide a bad group."""

from collections.abc import Iterator
from dataclasses import dataclass

from athanor.errors import ContractError
from athanor.release.record import GateResult
from athanor.tasks.task import Task
from athanor.training.evaluation.evidence import Evidence
from athanor.training.evaluation.metrics import describe_invalid, evaluate_part, measure, select
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.bounds import list_margin_problems, require_count, require_size
from athanor.training.gates.gate import make_result


@dataclass(frozen=True)
class NoSliceWorse:
    """No group of rows has a metric worse than that of all rows by more than a bound.

    Attributes:
        slices: each value of each slice is a group.
        metric: as in `Floor`.
        largest_drop: largest acceptable drop, inclusive; positive for every metric.
        smallest_rows: groups with fewer rows are skipped, and those whose rows do not define the metric, such as a
            ranking of one label. If all are, the gate fails.

    >>> from athanor.training.evaluation.slices import by_column
    >>> gate = NoSliceWorse((by_column("color"),), "roc_auc", largest_drop=0.2, smallest_rows=1_000)
    >>> gate.run(evidence).explanation
    'no slice has that many rows that define roc_auc, so nothing was compared; lower smallest_rows'
    >>> NoSliceWorse((by_column("color"),), "roc_auc", largest_drop=0.2, smallest_rows=50).run(evidence).passed
    True
    """

    slices: tuple[Slice, ...]
    metric: str
    largest_drop: float
    smallest_rows: int

    def __post_init__(self) -> None:
        require_size(self.name, "largest_drop", self.largest_drop)
        require_count(self.name, "smallest_rows", self.smallest_rows)
        if not self.slices:
            raise ContractError(f"{self.name}: there are no slices, so the gate could never fail; add one")

    def list_problems(self, task: Task) -> Iterator[str]:
        return list_margin_problems(self.name, task, self.metric, "largest_drop", self.largest_drop)

    @property
    def name(self) -> str:
        return f"{self.metric} of no slice worse"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"a drop of at most {self.largest_drop:g} for slices of {self.smallest_rows:,} rows or more"
        if problem := describe_invalid(evidence.task.contract, evidence.answers):
            return make_result(self, False, None, wanted, problem)
        overall = measure(evidence.task, self.metric, evidence.rows, evidence.answers)
        gain = evidence.task.metrics[self.metric].gain
        drops = [(gain(overall, value), value, words) for value, words in self._measure(evidence)]
        if not drops:
            nothing = f"no slice has that many rows that define {self.metric}, so nothing was compared"
            return make_result(self, False, None, wanted, f"{nothing}; lower smallest_rows")
        drop, value, words = max(drops)
        explanation = f"of {len(drops)} slices the worst is {words} with {value:.4g}, all rows have {overall:.4g}"
        return make_result(self, drop <= self.largest_drop, drop, wanted, explanation)

    def _measure(self, evidence: Evidence) -> Iterator[tuple[float, str]]:
        """The metric and the description of each group that is large enough."""
        for slice_ in self.slices:
            for value, rows in select(slice_, evidence.rows.columns):
                if (count := int(rows.sum())) >= self.smallest_rows:
                    found = evaluate_part(evidence.task, evidence.rows, evidence.answers, rows)
                    if self.metric in found:
                        yield found[self.metric], f"{slice_.name} {value or '(missing)'} ({count:,} rows)"
