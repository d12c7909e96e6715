"""Metrics of answers to all rows, and to those of each slice."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.shown import shown
from athanor.contract.validation import Breach
from athanor.errors import ContractError, DataError, GateError
from athanor.release.answers import find_invalid, settle
from athanor.release.record import SliceResult
from athanor.tasks.task import Task
from athanor.training.evaluation.evidence import Rows
from athanor.training.evaluation.slices import Slice


def evaluate(task: Task, rows: Rows, answers: Columns, names: Sequence[str] | None = None) -> dict[str, float]:
    """The metrics of a task that these answers define, by name.

    Args:
        answers: to n rows.
        names: of the metrics; all if not given.

    Raises:
        DataError: the labels allow no metrics, such as labels that are all equal.
        GateError: an answer breaks the contract.
    """
    if problem := describe_invalid(task.contract, answers):
        raise GateError(f"{problem}; the model cannot be evaluated and must not be released")
    if problems := task.list_label_problems(rows.counted_labels, "the rows of the evaluation"):
        raise DataError(f"{'; '.join(problems)}; use more rows")
    return task.evaluate(rows.labels, answers, rows.weights, names)


def measure(task: Task, metric: str, rows: Rows, answers: Columns) -> float:
    """One of the metrics of `evaluate`, with the same arguments and errors.

    Raises:
        ContractError: the task has no such metric, or these answers do not define it.
    """
    if metric not in task.metrics:
        raise ContractError(describe_unknown(task, metric))
    found = evaluate(task, rows, answers, (metric,))
    if metric not in found:
        raise ContractError(f"{metric} is not defined for these answers, which have the columns {', '.join(answers)}")
    return found[metric]


def describe_unknown(task: Task, metric: str) -> str:
    """Complains of a metric that a task does not have."""
    label = task.contract.label.name
    return f"unknown metric {metric!r}; the label {label} is {task.name}, use one of {', '.join(task.metrics)}"


def describe_invalid(contract: Contract, answers: Columns) -> str:
    """Describes answers that are missing, infinite or, beyond rounding, out of range; "" if all are valid.

    Columns of the contract that the answers lack are not looked at.
    """
    given = [column for column in contract.answer if column.name in answers]
    count = len(answers[contract.prediction.name])
    return "; ".join(_describe(breach, count) for breach in find_invalid(given, settle(given, answers)))


def _describe(breach: Breach, count: int) -> str:
    return (
        f"{breach.column.name} is invalid in {len(breach.rows):,} of {count:,} rows, and {shown(breach.values[0])} in "
        f"row {breach.rows[0]}; allowed is {breach.column.allowed}"
    )


def select(chosen: Slice, columns: Columns) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each value of a slice, sorted, with a mask of its rows.

    Raises:
        ContractError: the slice's function raised, or returned other than one text for each row.
    """
    try:
        values = np.asarray(chosen.by(columns))
    except Exception as error:
        raise ContractError(
            f"slice {chosen.name!r}: its function raised {type(error).__name__}: {error}; it is given the columns "
            f"{', '.join(columns)}"
        ) from error
    rows = len(next(iter(columns.values())))
    if values.shape != (rows,) or not all(isinstance(value, str) for value in values):
        raise ContractError(
            f"slice {chosen.name!r}: its function returned an array of shape {values.shape} and type {values.dtype}; "
            f"it must return {rows} texts, one for each row"
        )
    for value in sorted(set(values)):
        yield str(value), values == value


def evaluate_slices(task: Task, slices: Sequence[Slice], rows: Rows, answers: Columns) -> tuple[SliceResult, ...]:
    """Metrics for each value of each slice; None for one that its rows do not define, such as a ranking of one label.

    Raises:
        GateError: an answer breaks the contract.
    """
    if problem := describe_invalid(task.contract, answers):
        raise GateError(f"{problem}; the model cannot be evaluated and must not be released")
    return tuple(
        SliceResult(
            slice=chosen.name,
            value=value,
            rows=int(mask.sum()),
            label=task.describe_labels(rows.labels[mask]),
            metrics={**dict.fromkeys(task.metrics), **evaluate_part(task, rows, answers, mask)},
        )
        for chosen in slices
        for value, mask in select(chosen, rows.columns)
    )


def evaluate_part(task: Task, rows: Rows, answers: Columns, mask: NDArray[np.bool_]) -> dict[str, float]:
    """The metrics that some of the rows define, by name."""
    weights = None if rows.weights is None else rows.weights[mask]
    return task.evaluate(rows.labels[mask], {name: values[mask] for name, values in answers.items()}, weights)
