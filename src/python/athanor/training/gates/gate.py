"""The interface of a gate, and how gates are run."""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from athanor.errors import ContractError, GateError
from athanor.progress import Advance
from athanor.release.record import GateResult
from athanor.tasks.task import Task
from athanor.training.evaluation.evidence import Evidence


class Gate(Protocol):
    """A condition that a release must meet. Implement gates as frozen dataclasses, to declare them in a recipe.

    A gate may have a method `list_problems(task: Task) -> Iterable[str]`: why it does not fit the task of the recipe.
    The recipe is refused if it yields any.
    """

    @property
    def name(self) -> str:
        """Stable, and unique within the recipe."""

    def run(self, evidence: Evidence) -> GateResult:
        """Checks the condition. A NaN must not pass."""


def make_result(gate: Gate, passed: bool, value: float | None, wanted: str, explanation: str) -> GateResult:
    """The result of a gate.

    Args:
        value: the measured value; None if nothing was measured. A gate fails if it is not finite.
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


def list_gate_problems(gates: Sequence[Gate], task: Task) -> Iterator[str]:
    """Why gates do not fit a task."""
    for gate in gates:
        if (list_problems := getattr(gate, "list_problems", None)) is not None:
            yield from list_problems(task)


def run_gates(gates: Sequence[Gate], evidence: Evidence, advance: Advance | None = None) -> tuple[GateResult, ...]:
    """Runs all gates, even after one has failed.

    Raises:
        ContractError: gates raised an error, instead of giving a result. All are listed.
    """
    results, problems = [], []
    for gate in gates:
        try:
            results.append(gate.run(evidence))
        except ContractError as error:
            problems.append(str(error))
        except Exception as error:  # noqa: BLE001 - a project's own gate, or its change of columns
            problems.append(f"{gate.name}: it raised {type(error).__name__}: {error}; correct it in the recipe")
        else:
            if advance:
                advance(f"{gate.name}: {'passed' if results[-1].passed else 'FAILED'}")
    if problems:
        raise ContractError("\n  - ".join(["gates could not be run:", *problems] if problems[1:] else problems))
    return tuple(results)


def raise_if_failed(results: Sequence[GateResult], where: str = "") -> None:
    """Raises GateError, listing all failed gates, if any failed.

    Args:
        where: path of the full report.
    """
    if failed := [result for result in results if not result.passed]:
        lines = (f"  - {result.gate}: {result.explanation}; required: {result.wanted}" for result in failed)
        raise GateError(
            "\n".join(["the release was stopped by its gates", *lines, *([f"full report: {where}"] if where else [])])
        )
