"""Gates: conditions that stop a release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from athanor.errors import ContractError, GateError
from athanor.training.recipe import Gate

# Metrics of which less is better: their gain over the baseline is how much smaller they are.
_LESS_IS_BETTER = frozenset({"brier_score", "log_loss"})


@dataclass(frozen=True)
class GateResult:
    """What a gate saw."""

    gate: Gate
    value: float

    @property
    def passed(self) -> bool:
        """NaN passes no gate."""
        low = self.gate.at_least is None or self.value >= self.gate.at_least
        high = self.gate.at_most is None or self.value <= self.gate.at_most
        return low and high

    def __str__(self) -> str:
        bounds = (("at least", self.gate.at_least), ("at most", self.gate.at_most))
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
        return f"{self.gate.metric} is {self.value:.4g}, wanted is {wanted}"


def run_gates(
    gates: Sequence[Gate], metrics: Mapping[str, float], baseline: Mapping[str, float]
) -> tuple[GateResult, ...]:
    """Runs all gates, whatever the first ones say.

    Raises:
        ContractError: a gate names a metric that is not there.
    """
    gains = {
        f"{name} gain": (baseline[name] - value) if name in _LESS_IS_BETTER else (value - baseline[name])
        for name, value in metrics.items()
        if name in baseline
    }
    values = {**metrics, **gains}
    if unknown := [gate.metric for gate in gates if gate.metric not in values]:
        raise ContractError(f"gates name unknown metrics: {', '.join(unknown)}; there are: {', '.join(values)}")
    return tuple(GateResult(gate, values[gate.metric]) for gate in gates)


def demand(results: Sequence[GateResult]) -> None:
    """Raises GateError, which names every gate that failed, if one did."""
    if failed := [result for result in results if not result.passed]:
        raise GateError("the release is stopped\n" + "\n".join(f"  - {result}" for result in failed))
