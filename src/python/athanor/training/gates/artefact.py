"""Gates on the compiled graph, which is what will be served."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from athanor.contract.columns import Column, Role
from athanor.contract.messages import is_missing
from athanor.release.graph import TOLERANCE
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence, Rows, spread
from athanor.training.evaluation.metrics import describe_invalid
from athanor.training.gates.bounds import require_count, require_range
from athanor.training.gates.gate import make_result

_CULPRITS: Final = 3
"""Largest number of columns that are named as the cause of a difference."""


@dataclass(frozen=True)
class Parity:
    """The graph predicts the same probabilities as the pipeline it was compiled from.

    Attributes:
        rows: number of rows to compare, evenly spaced over the held-out rows.
        at_most: largest allowed difference of two probabilities, inclusive; in [0, 1).

    >>> Parity(at_most=1.0)
    Traceback (most recent call last):
    athanor.errors.ContractError: parity of graph and pipeline: at_most is 1; it must be at least 0 and less than 1
    >>> Parity(rows=100).run(evidence).passed
    True
    """

    rows: int = 10_000
    at_most: float = TOLERANCE

    def __post_init__(self) -> None:
        require_count(self.name, "rows", self.rows)
        require_range(self.name, "at_most", self.at_most, 0.0, 1.0)

    @property
    def name(self) -> str:
        return "parity of graph and pipeline"

    def run(self, evidence: Evidence) -> GateResult:
        sample = spread(len(evidence.rows), self.rows)
        rows = evidence.rows.take(sample)
        of_pipeline, of_graph = _predict_both(evidence, rows)
        differences = np.abs(of_pipeline - of_graph)
        # The first NaN, if there is one.
        worst = int(differences.argmax())
        passed = bool(differences[worst] <= self.at_most)
        explanation = (
            f"of {len(sample):,} rows the largest difference is {differences[worst]:.3g} in row {sample[worst]}: "
            f"the graph returns {of_graph[worst]:.6g}, the pipeline {of_pipeline[worst]:.6g}"
        )
        if not passed:
            explanation += self._explain(evidence, rows, differences)
        return make_result(self, passed, differences[worst], f"a difference of at most {self.at_most:g}", explanation)

    def _explain(self, evidence: Evidence, rows: Rows, differences: NDArray[np.float64]) -> str:
        """Names the candidate, the columns at fault if they can be found, and the remedies."""
        found = self._find_culprits(evidence, rows, differences)
        cause = f"the cause is {' or '.join(found)}" if found else "no column alone is the cause"
        who = f"candidate {evidence.candidate!r}" if evidence.candidate else "the pipeline"
        wide = f"{_round_up(differences.max()):g}" if differences.max() < 1 else "..."
        return (
            f". The graph of {who} differs in {(~(differences <= self.at_most)).sum():,} rows; {cause}. Use another "
            f"estimator or encoder, or, if this difference does no harm, Parity(at_most={wide})"
        )

    def _find_culprits(self, evidence: Evidence, rows: Rows, differences: NDArray[np.float64]) -> list[str]:
        """Columns that, taken from the row with the smallest difference, make the worst row agree; with its values."""
        if not np.nanmin(differences, initial=np.inf) <= self.at_most:
            return []
        worst, best = int(differences.argmax()), int(np.nanargmin(differences))
        columns = [column for column in evidence.model.contract.columns if Role.FEATURE in column.roles]
        mixed = {name: np.repeat(values[worst], len(columns)) for name, values in rows.columns.items()}
        for position, column in enumerate(columns):
            mixed[column.name][position] = rows.columns[column.name][best]
        of_pipeline, of_graph = _predict_both(evidence, Rows.make(evidence.model, mixed))
        agree = np.flatnonzero(np.abs(of_pipeline - of_graph) <= self.at_most)
        # If most columns help, chance does.
        if len(agree) > _CULPRITS:
            return []
        return [f"{columns[at].name}, which is {_show(columns[at], rows, worst)} there" for at in agree]


def _show(column: Column, rows: Rows, row: int) -> str:
    values = rows.columns[column.name][row : row + 1]
    return "missing" if is_missing(column, values)[0] else str(values[0])


def _predict_both(evidence: Evidence, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities of the pipeline and of the graph."""
    with threadpool_limits(1):
        of_pipeline = evidence.pipeline.predict_proba(rows.frame)[:, 1]
    return of_pipeline, evidence.predict(rows.columns)


def _round_up(value: float) -> float:
    """To one digit: 0.0213 is 0.03."""
    unit = 10.0 ** np.floor(np.log10(value))
    return float(np.ceil(value / unit) * unit)


@dataclass(frozen=True)
class Latency:
    """Predicting one row is fast: features and graph, without the network.

    Attributes:
        at_most_ms: largest allowed median in milliseconds, inclusive.
        calls: number of timed calls, with a different row each as far as there are rows.

    >>> Latency(at_most_ms=5.0, calls=0)
    Traceback (most recent call last):
    athanor.errors.ContractError: latency of one row: calls is 0; it must be at least 1
    >>> Latency(at_most_ms=1e-6, calls=20).run(evidence).passed
    False
    """

    at_most_ms: float
    calls: int = 200

    def __post_init__(self) -> None:
        require_range(self.name, "at_most_ms", self.at_most_ms, 0.0, np.inf)
        require_count(self.name, "calls", self.calls)

    @property
    def name(self) -> str:
        return "latency of one row"

    def run(self, evidence: Evidence) -> GateResult:
        positions = np.resize(spread(len(evidence.rows), self.calls), self.calls)
        rows = [{name: values[[at]] for name, values in evidence.rows.columns.items()} for at in positions]
        for row in rows[:10]:
            evidence.predict(row)
        answers = np.empty(self.calls)
        took_ms = np.empty(self.calls)
        for at, row in enumerate(rows):
            began = time.perf_counter()
            answers[at] = evidence.predict(row)[0]
            took_ms[at] = (time.perf_counter() - began) * 1_000
        median, slowest = np.quantile(took_ms, (0.5, 0.99))
        wanted = f"at most {self.at_most_ms:g} ms in the median"
        if problem := describe_invalid(answers):
            return make_result(self, False, None, wanted, problem)
        explanation = f"of {self.calls} rows, the median is {median:.3g} ms, the 99th percentile {slowest:.3g} ms"
        return make_result(self, bool(median <= self.at_most_ms), float(median), wanted, explanation)


@dataclass(frozen=True)
class GraphSize:
    """The graph is small: each replica loads it and keeps it in memory.

    Attributes:
        at_most_bytes: largest allowed size, inclusive.

    >>> GraphSize(at_most_bytes=100).run(evidence).passed
    False
    >>> GraphSize(at_most_bytes=20_000_000).run(evidence).passed
    True
    """

    at_most_bytes: int

    def __post_init__(self) -> None:
        require_range(self.name, "at_most_bytes", self.at_most_bytes, 1, np.inf)

    @property
    def name(self) -> str:
        return "size of graph"

    def run(self, evidence: Evidence) -> GateResult:
        size = len(evidence.graph)
        wanted = f"at most {self.at_most_bytes:,} bytes"
        if problem := describe_invalid(evidence.probabilities):
            return make_result(self, False, None, wanted, problem)
        return make_result(self, size <= self.at_most_bytes, size, wanted, f"the graph has {size:,} bytes")
