"""What a gate is, and how gates are run."""

import math
from collections.abc import Sequence
from typing import Protocol

from athanor.errors import GateError
from athanor.progress import Advance
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence


class Gate(Protocol):
    """A condition that a release must meet. Gates are frozen dataclasses: a recipe declares them."""

    @property
    def name(self) -> str:
        """Stable, and unlike that of any other gate of the recipe."""

    def run(self, evidence: Evidence) -> GateResult:
        """Judges. What is NaN passes no gate."""


def make_result(gate: Gate, passed: bool, value: float | None, wanted: str, explanation: str) -> GateResult:
    """The result of a gate.

    Args:
        value: what was measured. With one that is no finite number no gate passes. None where nothing was measured.
        wanted, explanation: see GateResult.
    """
    is_number = value is None or math.isfinite(value)
    return GateResult(
        gate=gate.name,
        passed=bool(passed) and is_number,
        value=float(value) if value is not None and is_number else None,
        wanted=wanted,
        explanation=explanation,
    )


def run_gates(gates: Sequence[Gate], evidence: Evidence, advance: Advance | None = None) -> tuple[GateResult, ...]:
    """Runs all gates, whatever the first ones say."""
    results = []
    for gate in gates:
        results.append(gate.run(evidence))
        if advance:
            advance(f"{gate.name}: {'passed' if results[-1].passed else 'FAILED'}")
    return tuple(results)


def raise_if_failed(results: Sequence[GateResult], where: str = "") -> None:
    """Raises GateError, which names every gate that failed, if one did.

    Args:
        where: where one can read more.
    """
    if failed := [result for result in results if not result.passed]:
        lines = (f"  - {result.gate}: {result.explanation}; wanted is {result.wanted}" for result in failed)
        raise GateError("\n".join(["the release is stopped", *lines, *([f"more: {where}"] if where else [])]))
