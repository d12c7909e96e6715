"""What the constructors of gates check: a gate that can never fail is refused."""

import math
from typing import Final

from athanor.errors import ContractError
from athanor.training.evaluation.metrics import GREATER_IS_BETTER

_UNBOUNDED: Final = frozenset({"log_loss"})
"""Metrics that are not from 0 to 1, but from 0 upwards."""


def require_metric(gate: str, metric: str) -> None:
    """Raises ContractError where a metric is unknown; names those that there are."""
    if metric not in GREATER_IS_BETTER:
        raise ContractError(f"{gate}: there is no metric {metric!r}; there are {', '.join(GREATER_IS_BETTER)}")


def require_range(gate: str, what: str, value: float, lowest: float, below: float) -> None:
    """Raises ContractError unless a bound is at least `lowest` and smaller than `below`; NaN is neither."""
    if not lowest <= value < below:
        raise ContractError(f"{gate}: {what} is {value:g}; allowed are {lowest:g} up to, but not, {below:g}")


def require_margin(gate: str, what: str, value: float, metric: str) -> None:
    """Raises ContractError unless a difference of a metric is from 0, and can be exceeded."""
    require_range(gate, what, value, 0.0, _highest(metric))


def require_bounds(gate: str, metric: str, at_least: float | None, at_most: float | None) -> None:
    """Raises ContractError unless a metric has a bound, and can miss each that it has."""
    if at_least is None and at_most is None:
        raise ContractError(f"{gate}: neither at_least nor at_most is given, so that it cannot fail; give one")
    if at_least is not None and not 0 < at_least < math.inf:
        raise ContractError(f"{gate}: at_least is {at_least:g}; allowed are finite numbers above 0, or it cannot fail")
    if at_most is not None:
        require_range(gate, "at_most", at_most, 0.0, _highest(metric))
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ContractError(f"{gate}: at_least {at_least:g} is above at_most {at_most:g}, so that nothing can pass")


def require_count(gate: str, what: str, count: int) -> None:
    """Raises ContractError unless it is a count from 1."""
    if count < 1:
        raise ContractError(f"{gate}: {what} is {count}; allowed are whole numbers from 1")


def _highest(metric: str) -> float:
    return math.inf if metric in _UNBOUNDED else 1.0
