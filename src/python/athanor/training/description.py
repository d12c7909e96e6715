"""All that is in force of a recipe, as values that JSON holds."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator

from athanor.training.candidates import Candidate
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.defaults import add_always, list_after_refit
from athanor.training.recipe import Recipe

_LONGEST: Final = 100_000


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Everything that is in force of a recipe, whether it declares it or not.

    Returns:
        `defaults` names what it does not declare. Equal recipes give equal values: no address of an object is in them.
    """
    contract = recipe.model.contract
    return {
        "model": recipe.model.name,
        "task": recipe.task.name,
        "label": contract.label.name,
        "answer": [column.name for column in contract.answer],
        "event_time": contract.event_time.name if contract.event_time else None,
        "group": contract.group.name if contract.group else None,
        "weight": contract.weight.name if contract.weight else None,
        "split": _describe(recipe.split),
        "folds": {"count": recipe.folds, "by_time": recipe.split.is_by_time},
        "candidates": [_describe_candidate(candidate) for candidate in recipe.candidates],
        "trials": recipe.trials,
        "scoring": recipe.scoring,
        "metrics": list(recipe.task.metrics),
        "calibrate": recipe.calibrate,
        "coverage": recipe.coverage,
        "baseline": _describe(recipe.baseline),
        "gates": [{"name": gate.name, **_describe(gate)} for gate in add_always(recipe.gates)],
        "slices": [each.name for each in recipe.slices],
        "refit": recipe.refit,
        "gates_after_refit": [
            {"name": gate.name, **_describe(gate)} for gate in (list_after_refit(recipe.gates) if recipe.refit else ())
        ],
        "seed": recipe.seed,
        "defaults": list(recipe.defaults),
    }


def _describe_candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "pipeline": _describe(candidate.pipeline),
        "space": {name: _describe(values) for name, values in candidate.space.items()},
    }


def _describe(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _describe(item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_describe(item) for item in value]
    if is_dataclass(value) and not isinstance(value, Slice):
        given = {each.name: _describe(getattr(value, each.name)) for each in fields(value)}
        return {"kind": type(value).__name__, **given}
    return _name(value)


def _name(value: Any) -> str:
    """Words for an object, without its address."""
    if isinstance(value, BaseEstimator):
        # What differs from the estimator's defaults, at any length.
        return " ".join(value.__repr__(N_CHAR_MAX=_LONGEST).split())
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "rvs"):
        return _name_distribution(value)
    return str(getattr(value, "name", None) or getattr(value, "__qualname__", None) or type(value).__name__)


def _name_distribution(value: Any) -> str:
    """A distribution of SciPy as it is written: its name and its arguments."""
    if not hasattr(value, "dist"):
        return type(value).__name__
    given = [*map(str, value.args), *(f"{name}={item}" for name, item in value.kwds.items())]
    return f"{value.dist.name}({', '.join(given)})"
