"""Gates on the compiled graph, which is what will be served."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from athanor.contract.columns import Column, Columns, Role
from athanor.contract.messages import is_missing
from athanor.release.answers import TOLERANCE, measure_difference
from athanor.release.manifest import Intervals
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence, Rows, spread
from athanor.training.evaluation.metrics import describe_invalid
from athanor.training.gates.bounds import require_count, require_range
from athanor.training.gates.gate import make_result

_CULPRITS: Final = 3
"""Largest number of columns that are named as the cause of a difference."""


@dataclass(frozen=True)
class Parity:
    """The graph answers as the pipeline it was compiled from.

    Attributes:
        rows: number of rows to compare, evenly spaced over the held-out rows.
        at_most: largest allowed difference, inclusive; in [0, 1). Of two probabilities it is their distance, of two
            numbers their distance in units of the largest distance of a label from the median, of two categories 1
            unless both are about as likely.

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
        wanted = f"a difference of at most {self.at_most:g}"
        of_graph = evidence.predict(rows.columns)
        if problem := describe_invalid(evidence.task.contract, of_graph):
            return make_result(self, False, None, wanted, problem)
        of_pipeline = ask_pipeline(evidence, rows)
        differences = measure(evidence, of_pipeline, of_graph)
        # The first NaN, if there is one.
        worst = int(differences.argmax())
        passed = bool(differences[worst] <= self.at_most)
        explanation = (
            f"of {len(sample):,} rows the largest difference is {differences[worst]:.3g} in row {sample[worst]}: "
            f"the graph returns {show_answer(evidence, of_graph, worst)}, the pipeline "
            f"{show_answer(evidence, of_pipeline, worst)}"
        )
        if not passed:
            explanation += self._explain(evidence, rows, differences)
        return make_result(self, passed, differences[worst], wanted, explanation)

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
        of_pipeline = ask_pipeline(evidence, Rows.make(evidence.task, evidence.model, mixed))
        agree = np.flatnonzero(measure(evidence, of_pipeline, evidence.predict(mixed)) <= self.at_most)
        # If most columns help, chance does.
        if len(agree) > _CULPRITS:
            return []
        return [f"{columns[at].name}, which is {_show(columns[at], rows, worst)} there" for at in agree]


def _show(column: Column, rows: Rows, row: int) -> str:
    values = rows.columns[column.name][row : row + 1]
    return "missing" if is_missing(column, values)[0] else str(values[0])


def show_answer(evidence: Evidence, answers: Columns, row: int) -> str:
    """The answer to one row, in words, in the contract's order."""
    shown = (answers[column.name][row] for column in evidence.task.contract.answer if column.name in answers)
    return ", ".join(value if isinstance(value, str) else f"{value:.6g}" for value in shown)


def ask_pipeline(evidence: Evidence, rows: Rows) -> Columns:
    """The answers of what the graph was compiled from."""
    with threadpool_limits(1):
        return evidence.fitted.answer(rows.frame)


def measure(evidence: Evidence, of_pipeline: Columns, of_graph: Columns) -> NDArray[np.float64]:
    """The difference of two answers to each row, in units of the task's scale."""
    edges = evidence.fitted.doubt.edges if isinstance(evidence.fitted.doubt, Intervals) else ()
    difference = measure_difference(evidence.task.contract.answer, of_pipeline, of_graph, edges)
    return np.asarray(difference / evidence.task.scale(evidence.rows.labels))


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
        answers = []
        took_ms = np.empty(self.calls)
        for at, row in enumerate(rows):
            began = time.perf_counter()
            answers.append(evidence.predict(row))
            took_ms[at] = (time.perf_counter() - began) * 1_000
        median, slowest = np.quantile(took_ms, (0.5, 0.99))
        wanted = f"at most {self.at_most_ms:g} ms in the median"
        joined = {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}
        if problem := describe_invalid(evidence.task.contract, joined):
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
        if problem := describe_invalid(evidence.task.contract, evidence.answers):
            return make_result(self, False, None, wanted, problem)
        return make_result(self, size <= self.at_most_bytes, size, wanted, f"the graph has {size:,} bytes")
