"""What gates check of their own bounds: a gate that can never fail is refused.

Their constructors check what holds for every label. A recipe asks them for the rest, once it knows the task.
"""

import math
from collections.abc import Iterator

from athanor.contract.columns import Column
from athanor.errors import ContractError
from athanor.tasks.task import Task
from athanor.training.evaluation.metrics import describe_unknown


def require_range(gate: str, what: str, value: float, lowest: float, below: float) -> None:
    """Raises ContractError unless lowest <= value < below; NaN raises."""
    if not lowest <= value < below:
        raise ContractError(f"{gate}: {_complain(what, value, lowest, below)}")


def require_size(gate: str, what: str, value: float) -> None:
    """Raises ContractError unless value is finite and at least 0."""
    require_range(gate, what, value, 0.0, math.inf)


def require_bounds(gate: str, at_least: float | None, at_most: float | None) -> None:
    """Raises ContractError unless there is a bound, both are finite, and something is within them."""
    if at_least is None and at_most is None:
        raise ContractError(f"{gate}: neither at_least nor at_most is given, so the gate could never fail; give one")
    for what, bound in (("at_least", at_least), ("at_most", at_most)):
        if bound is not None and not math.isfinite(bound):
            raise ContractError(f"{gate}: {what} is {bound:g}; it must be finite")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ContractError(f"{gate}: at_least {at_least:g} is above at_most {at_most:g}, so nothing could pass")


def require_count(gate: str, what: str, count: int) -> None:
    """Raises ContractError unless count >= 1."""
    if count < 1:
        raise ContractError(f"{gate}: {what} is {count}; it must be at least 1")


def list_bound_problems(
    gate: str, task: Task, metric: str, at_least: float | None, at_most: float | None
) -> Iterator[str]:
    """Complains of a metric that the task does not have, and of bounds that it cannot miss."""
    if metric not in task.metrics:
        yield f"{gate}: {describe_unknown(task, metric)}"
        return
    known = task.metrics[metric]
    if at_least is not None and not known.lowest < at_least <= known.highest:
        yield (
            f"{gate}: at_least is {at_least:g}; it must be above {known.lowest:g} and at most {known.highest:g}, or "
            "the gate could never fail or never pass"
        )
    if at_most is not None and not known.lowest <= at_most < known.highest:
        yield f"{gate}: {_complain('at_most', at_most, known.lowest, known.highest)}"


def list_margin_problems(gate: str, task: Task, metric: str, what: str, margin: float) -> Iterator[str]:
    """Complains of a metric that the task does not have, and of a margin that none of its differences exceeds."""
    if metric not in task.metrics:
        yield f"{gate}: {describe_unknown(task, metric)}"
    elif margin >= (width := task.metrics[metric].width):
        yield f"{gate}: {_complain(what, margin, 0.0, width)}"


def find_column(gate: str, task: Task, category: str | None) -> Column:
    """`task.column_of`, whose ContractError names the gate."""
    try:
        return task.column_of(category)
    except ContractError as error:
        raise ContractError(f"{gate}: {error}") from None


def list_change_problems(gate: str, task: Task, category: str | None, what: str, bound: float) -> Iterator[str]:
    """Complains of an answer that is no number, and of a bound that none of its changes exceeds."""
    try:
        column = find_column(gate, task, category)
    except ContractError as error:
        yield str(error)
        return
    if bound >= (width := column.maximum - column.minimum):
        yield f"{gate}: {_complain(what, bound, 0.0, width)}"


def _complain(what: str, value: float, lowest: float, below: float) -> str:
    return f"{what} is {value:g}; it must be at least {lowest:g} and less than {below:g}"
