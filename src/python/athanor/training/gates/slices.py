"""Gates on groups of rows: a good average can hide a bad group."""

from collections.abc import Iterator
from dataclasses import dataclass

from athanor.errors import ContractError
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence
from athanor.training.evaluation.metrics import describe_invalid, gain, measure, select
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.bounds import require_count, require_margin, require_metric
from athanor.training.gates.gate import make_result


@dataclass(frozen=True)
class NoSliceWorse:
    """No group of rows has a metric worse than that of all rows by more than a bound.

    Attributes:
        slices: each value of each slice is a group.
        metric: as in `Floor`.
        largest_drop: largest acceptable drop, inclusive; positive for every metric.
        smallest_rows: groups with fewer rows, or with only one label, are skipped. If all are, the gate fails.

    >>> from athanor.training.evaluation.slices import by_column
    >>> gate = NoSliceWorse((by_column("color"),), "roc_auc", largest_drop=0.2, smallest_rows=1_000)
    >>> gate.run(evidence).explanation
    'no slice has that many rows with both labels, so nothing was compared; lower smallest_rows'
    >>> NoSliceWorse((by_column("color"),), "roc_auc", largest_drop=0.2, smallest_rows=50).run(evidence).passed
    True
    """

    slices: tuple[Slice, ...]
    metric: str
    largest_drop: float
    smallest_rows: int

    def __post_init__(self) -> None:
        require_metric(self.name, self.metric)
        require_margin(self.name, "largest_drop", self.largest_drop, self.metric)
        require_count(self.name, "smallest_rows", self.smallest_rows)
        if not self.slices:
            raise ContractError(f"{self.name}: there are no slices, so the gate could never fail; add one")

    @property
    def name(self) -> str:
        return f"{self.metric} of no slice worse"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"a drop of at most {self.largest_drop:g} for slices of {self.smallest_rows:,} rows or more"
        if problem := describe_invalid(evidence.probabilities):
            return make_result(self, False, None, wanted, problem)
        overall = measure(self.metric, evidence.rows.labels, evidence.probabilities)
        drops = [(gain(self.metric, overall, value), value, words) for value, words in self._measure(evidence)]
        if not drops:
            nothing = "no slice has that many rows with both labels, so nothing was compared; lower smallest_rows"
            return make_result(self, False, None, wanted, nothing)
        drop, value, words = max(drops)
        explanation = f"of {len(drops)} slices the worst is {words} with {value:.4g}, all rows have {overall:.4g}"
        return make_result(self, drop <= self.largest_drop, drop, wanted, explanation)

    def _measure(self, evidence: Evidence) -> Iterator[tuple[float, str]]:
        """The metric and the description of each group that is large enough."""
        for slice_ in self.slices:
            for value, rows in select(slice_, evidence.rows.columns):
                labels = evidence.rows.labels[rows]
                if len(labels) >= self.smallest_rows and 0 < labels.mean() < 1:
                    metric = measure(self.metric, labels, evidence.probabilities[rows])
                    yield metric, f"{slice_.name} {value or '(missing)'} ({len(labels):,} rows)"
