"""What the constructors of gates check: a gate that can never fail is refused."""

import math
from typing import Final

from athanor.errors import ContractError
from athanor.training.evaluation.metrics import GREATER_IS_BETTER

_UNBOUNDED: Final = frozenset({"log_loss"})
"""Metrics without an upper bound; all others lie in [0, 1]."""


def require_metric(gate: str, metric: str) -> None:
    """Raises ContractError if the metric is unknown."""
    if metric not in GREATER_IS_BETTER:
        raise ContractError(f"{gate}: unknown metric {metric!r}; use one of {', '.join(GREATER_IS_BETTER)}")


def require_range(gate: str, what: str, value: float, lowest: float, below: float) -> None:
    """Raises ContractError unless lowest <= value < below; NaN raises."""
    if not lowest <= value < below:
        raise ContractError(f"{gate}: {what} is {value:g}; it must be at least {lowest:g} and less than {below:g}")


def require_margin(gate: str, what: str, value: float, metric: str) -> None:
    """Raises ContractError unless the margin is at least 0 and the metric can exceed it."""
    require_range(gate, what, value, 0.0, _highest(metric))


def require_bounds(gate: str, metric: str, at_least: float | None, at_most: float | None) -> None:
    """Raises ContractError unless there is a bound, and each bound can be missed."""
    if at_least is None and at_most is None:
        raise ContractError(f"{gate}: neither at_least nor at_most is given, so the gate could never fail; give one")
    if at_least is not None and not 0 < at_least < math.inf:
        raise ContractError(
            f"{gate}: at_least is {at_least:g}; it must be finite and above 0, or the gate could never fail"
        )
    if at_most is not None:
        require_range(gate, "at_most", at_most, 0.0, _highest(metric))
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ContractError(f"{gate}: at_least {at_least:g} is above at_most {at_most:g}, so nothing could pass")


def require_count(gate: str, what: str, count: int) -> None:
    """Raises ContractError unless count >= 1."""
    if count < 1:
        raise ContractError(f"{gate}: {what} is {count}; it must be at least 1")


def _highest(metric: str) -> float:
    return math.inf if metric in _UNBOUNDED else 1.0
