"""Recipes: what a project declares about training."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names

from athanor.contract.columns import Columns, Role
from athanor.data.dataset import Dataset
from athanor.errors import ContractError
from athanor.features.features import Model
from athanor.tasks.task import Task
from athanor.tasks.tasks import task_of
from athanor.training.candidates import Candidate, default_candidates, list_space_problems
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.defaults import default_gates
from athanor.training.gates.gate import Gate, list_gate_problems
from athanor.training.gates.refit import NearEvaluated
from athanor.training.splits import Division, Latest, Share, Split

_FEWEST_FOLDS: Final = 2
_FOLDS_BY_TIME: Final = 2
_FOLDS: Final = 5
_HELD_OUT: Final = 0.2
_COVERAGE: Final = 0.9


@dataclass(frozen=True)
class Recipe:
    """Everything a project declares about training. What it leaves out is filled in; `athanor show` prints all of it.

    Attributes:
        declared_in: name of the declaring module, `__name__`; its code is part of the release's identity.
        split: which rows are held out for evaluation; see `athanor.training.splits`. By default the newest fifth, or a
            random fifth without event times.
        candidates: pipelines among which the search selects, together with their parameters; by default
            `default_candidates`.
        baseline: fitted once, on the same rows as the best candidate; gates compare with it. By default it knows the
            label alone.
        gates: conditions a release must meet; see `athanor.training.gates`. By default `default_gates`.
        slices: groups of rows for which metrics are reported separately.
        trials: number of parameter sets that the search samples from all candidates; None for all combinations.
        folds: of the search; by default 2 if the split is by time, so that each validates on rows no earlier than those
            it fits, or else 5.
        scoring: scikit-learn's name of the score to maximise; by default the task's.
        calibrate: whether to calibrate probabilities if that improves them.
        coverage: share of outcomes that intervals or sets hold; by default 0.9 if the contract has columns for them.
        refit: whether to fit the winner again on all rows after its gates; by default if the split is `Latest`.
        seed: of the search, its folds, and the bootstrap; declared estimators have their own `random_state`.
        defaults: names of the attributes that were filled in.

    Raises:
        ContractError: the contract fits no task; the split needs an event time that it lacks, there are no candidates,
            two gates, candidates or slices have the same name, `trials`, `folds`, `scoring` or `coverage` has a value
            that is not allowed, or a candidate's space has a parameter that its pipeline lacks, or no values or other
            than scalars for one. All are listed.

    >>> recipe = Recipe(declared_in=__name__, model=model, dataset=dataset)
    >>> recipe.split, recipe.folds, recipe.refit
    (Latest(age=0.2), 2, True)
    >>> [candidate.name for candidate in recipe.candidates]
    ['linear', 'boosting']
    >>> Recipe(declared_in=__name__, model=model, dataset=dataset, folds=1)
    Traceback (most recent call last):
    athanor.errors.ContractError: ...: folds is 1; it must be at least 2
    """

    declared_in: str
    model: Model
    dataset: Dataset
    # Those that are None are filled in when the recipe is made.
    candidates: tuple[Candidate, ...] = None  # type: ignore[assignment]
    split: Split = None  # type: ignore[assignment]
    baseline: BaseEstimator = None
    gates: tuple[Gate, ...] = None  # type: ignore[assignment]
    slices: tuple[Slice, ...] = ()
    trials: int | None = None
    folds: int = None  # type: ignore[assignment]
    scoring: str = None  # type: ignore[assignment]
    calibrate: bool = True
    coverage: float | None = None
    refit: bool = None  # type: ignore[assignment]
    seed: int = 0
    defaults: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "defaults", tuple(self._fill_in()))
        problems = [*_list_problems(self), *(text for each in self.candidates for text in list_space_problems(each))]
        if problems:
            more = f"{self.declared_in} has {len(problems)} problems:\n  - " if len(problems) > 1 else ""
            raise ContractError(more + "\n  - ".join(problems))

    def _fill_in(self) -> Iterator[str]:
        """Sets what was left out; the names of what was set."""
        for name, choose in _DEFAULTS.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, choose(self))
                yield name

    @cached_property
    def task(self) -> Task:
        """What kind of question the label asks."""
        return task_of(self.model.contract, self.coverage)

    def divide(self, columns: Columns) -> Division:
        """Divides rows into those to train on and those held out. A part may come out empty."""
        return self.split.divide(self.task, columns)

    def is_test(self, columns: Columns) -> NDArray[np.bool_]:
        """Mask of the rows held out for evaluation."""
        return self.divide(columns).evaluated

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the syntax tree of the declaring module: comments and layout do not count."""
        code = ast.dump(ast.parse(inspect.getsource(sys.modules[self.declared_in])))
        return hashlib.sha256(code.encode()).hexdigest()


# In an order in which one may depend on those before.
_DEFAULTS: Final[Mapping[str, Callable[[Recipe], Any]]] = {
    "coverage": lambda recipe: _COVERAGE if has_doubt(recipe.model) else None,
    "split": lambda recipe: Latest(_HELD_OUT) if recipe.model.contract.event_time else Share(_HELD_OUT),
    "candidates": lambda recipe: default_candidates(recipe.task, recipe.model.features, recipe.seed),
    "baseline": lambda recipe: recipe.task.default_baseline(),
    "gates": lambda recipe: default_gates(recipe.task),
    "folds": lambda recipe: _FOLDS_BY_TIME if recipe.split.is_by_time else _FOLDS,
    "scoring": lambda recipe: recipe.task.scoring,
    "refit": lambda recipe: recipe.split.refits,
}


def has_doubt(model: Model) -> bool:
    """Whether the answer has columns of an interval or a set."""
    return any(column.roles & {Role.LOWER, Role.UPPER, Role.IN_SET} for column in model.contract.answer)


def _list_problems(recipe: Recipe) -> Iterator[str]:
    where = recipe.declared_in
    for kind, named in (("gates", recipe.gates), ("candidates", recipe.candidates), ("slices", recipe.slices)):
        names = [each.name for each in named]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"{where} has {kind} with the same name: {', '.join(twice)}; rename them"
    fitting = (recipe.split.list_problems(recipe.model.contract), list_gate_problems(recipe.gates, recipe.task))
    yield from (f"{where}: {problem}" for problems in fitting for problem in problems)
    if not recipe.refit and (idle := [gate.name for gate in recipe.gates if isinstance(gate, NearEvaluated)]):
        yield f"{where}: the gate {idle[0]!r} judges a refit, and there is none; remove it, or set refit=True"
    if not recipe.candidates:
        yield f"{where} has no candidates; add at least one"
    if recipe.folds < _FEWEST_FOLDS:
        yield f"{where}: folds is {recipe.folds}; it must be at least {_FEWEST_FOLDS}"
    if recipe.trials is not None and recipe.trials < 1:
        yield f"{where}: trials is {recipe.trials}; it must be at least 1, or None for all combinations"
    if recipe.scoring not in get_scorer_names():
        close = get_close_matches(recipe.scoring, get_scorer_names())
        yield (
            f"{where}: scoring is {recipe.scoring!r}, which scikit-learn does not have; use one of "
            f"{', '.join(close or (recipe.task.scoring,))}"
        )
    yield from _list_coverage_problems(recipe)


def _list_coverage_problems(recipe: Recipe) -> Iterator[str]:
    if recipe.coverage is None:
        return
    if not has_doubt(recipe.model):
        yield (
            f"{recipe.declared_in}: coverage is {recipe.coverage:g}, and the prediction has no columns for it; declare "
            "columns with ROLE_LOWER and ROLE_UPPER for a number, or with ROLE_IN_SET for categories"
        )
    if not 0 < recipe.coverage < 1:
        yield f"{recipe.declared_in}: coverage is {recipe.coverage:g}; it must be above 0 and below 1"
