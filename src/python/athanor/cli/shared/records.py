"""Tables of a training record, for the commands that train and the ones that show a version."""

from typing import TYPE_CHECKING

from rich.console import RenderableType

from athanor.cli.shared.terminal import listing

if TYPE_CHECKING:
    from athanor.release.record import TrainingRecord


def metrics_table(record: "TrainingRecord") -> RenderableType:
    # A baseline has no doubt, and so no coverage.
    baseline = {name: f"{of.value:.4f}" for name, of in record.baseline.items()}
    rows = [
        (name, f"{of.value:.4f}", f"{of.low:.4f} to {of.high:.4f}", baseline.get(name, ""))
        for name, of in record.metrics.items()
    ]
    return listing("Metrics on the held-out rows", ("metric", "model", "95 % interval", "baseline"), rows)


def gates_table(record: "TrainingRecord") -> RenderableType:
    rows = [(gate.gate, "passed" if gate.passed else "FAILED", gate.explanation, gate.wanted) for gate in record.gates]
    return listing("Gates", ("gate", "", "result", "required"), rows)
