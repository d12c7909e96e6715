"""Layer `training`: from a snapshot to a release that passed its gates."""

from athanor.training.evaluation import Evaluation, evaluate
from athanor.training.gates import GateResult
from athanor.training.recipe import Candidate, Gate, Recipe
from athanor.training.search import Trial, search
from athanor.training.train import Training, train

__all__ = [
    "Candidate",
    "Evaluation",
    "Gate",
    "GateResult",
    "Recipe",
    "Training",
    "Trial",
    "evaluate",
    "search",
    "train",
]
