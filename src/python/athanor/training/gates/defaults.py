"""Gates of a recipe that declares none, and those that always run."""

from collections.abc import Sequence
from typing import Final

from athanor.tasks.task import Task
from athanor.training.gates.artefact import Parity
from athanor.training.gates.corners import Corners
from athanor.training.gates.coverage import Coverage
from athanor.training.gates.gate import Gate
from athanor.training.gates.metrics import BetterThanBaseline
from athanor.training.gates.refit import NearEvaluated

_SCATTER: Final = 0.15
"""Three standard deviations of the share of outcomes that 90 % intervals hold, over 40 rows."""
ALWAYS: Final[tuple[Gate, ...]] = (Parity(), Corners())
"""Gates on the graph alone. They run whether a recipe declares them or not, before the search and after a refit too."""


def default_gates(task: Task) -> tuple[Gate, ...]:
    """The model knows more than the baseline, by the metric that the task shows first, and is right about its doubt."""
    doubt = () if task.coverage is None else (Coverage(at_least=max(task.coverage - _SCATTER, 0.01)),)
    return (BetterThanBaseline(next(iter(task.metrics))), *doubt, *ALWAYS)


def list_always(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """The gates that always run, with the bounds that a recipe declares for them."""
    return tuple(_find(gates, always) for always in ALWAYS)


def add_always(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """The declared gates, and those that always run; without those of a refit."""
    before = tuple(gate for gate in gates if not isinstance(gate, NearEvaluated))
    return (*before, *(gate for gate in list_always(gates) if gate not in before))


def list_after_refit(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """The gates of a refit: what the graph must do in any case, and answers near the evaluated model's."""
    return (_find(gates, NearEvaluated()), *list_always(gates))


def _find(gates: Sequence[Gate], otherwise: Gate) -> Gate:
    return next((gate for gate in gates if type(gate) is type(otherwise)), otherwise)
