"""Recipes: what a project declares about training."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from types import NoneType
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names

from athanor.contract.columns import Columns
from athanor.data.dataset import Dataset
from athanor.errors import ContractError
from athanor.features.features import Model
from athanor.training.evaluation.slices import Slice
from athanor.training.gates.gate import Gate

_FEWEST_FOLDS: Final = 2
_SCALARS: Final = (bool, int, float, str, np.generic, NoneType)


class Distribution(Protocol):
    """A distribution of parameter values, such as those of `scipy.stats`."""

    def rvs(self, *, random_state: Any = None) -> Any: ...


@dataclass(frozen=True)
class Candidate:
    """A pipeline and the parameters to try with it.

    Attributes:
        pipeline: unfitted scikit-learn classifier. Its input is a frame with the numeric features (float32), then the
            categorical ones (text). Select columns by position (`Features.position`), since the compiled graph has no
            names. Everything that is fitted, such as encoders and imputers, belongs inside.
        space: a list of values, or a distribution to sample, by parameter name.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    >>> candidate = Candidate("logistic regression", pipeline, {"logisticregression__C": (0.1, 1.0)})
    >>> set(candidate.space) <= set(candidate.pipeline.get_params())
    True
    """

    name: str
    pipeline: BaseEstimator
    space: Mapping[str, Sequence[bool | int | float | str | None] | Distribution]


@dataclass(frozen=True)
class Recipe:
    """Everything a project declares about training.

    Attributes:
        declared_in: name of the declaring module, `__name__`; its code is part of the release's identity.
        test_from: rows with this event time or later are held out for evaluation. Needs a time zone.
        candidates: pipelines among which the search selects, together with their parameters.
        baseline: fitted once, on the same rows as the best candidate; gates compare with it.
        gates: conditions a release must meet; see `athanor.training.gates`.
        slices: groups of rows for which metrics are reported separately.
        trials: number of parameter sets that the search samples from all candidates; None for all combinations.
        folds: of the search; each validates on rows no earlier than those it fits.
        scoring: scikit-learn's name of the score to maximise.
        calibrate: whether to calibrate probabilities if that improves the Brier score.
        seed: of the search and of the bootstrap; estimators have their own `random_state`.

    Raises:
        ContractError: `test_from` has no time zone, there are no candidates, two gates, candidates or slices have the
            same name, `trials`, `folds` or `scoring` has a value that is not allowed, or a candidate's space has a
            parameter that its pipeline lacks, or no values or other than scalars for one. All are listed.

    >>> from sklearn.dummy import DummyClassifier
    >>> Recipe(
    ...     declared_in=__name__, model=model, dataset=dataset, test_from=datetime(2013, 10, 1),
    ...     candidates=(Candidate("prior", DummyClassifier(), {}),), baseline=DummyClassifier(), gates=(),
    ... )
    Traceback (most recent call last):
    athanor.errors.ContractError: test_from 2013-10-01 00:00:00 has no time zone; add one, such as tzinfo=UTC
    """

    declared_in: str
    model: Model
    dataset: Dataset
    test_from: datetime
    candidates: tuple[Candidate, ...]
    baseline: BaseEstimator
    gates: tuple[Gate, ...]
    slices: tuple[Slice, ...] = ()
    trials: int | None = None
    folds: int = 2
    scoring: str = "average_precision"
    calibrate: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        problems = [*_list_problems(self), *(text for each in self.candidates for text in _list_space_problems(each))]
        if problems:
            more = f"{self.declared_in} has {len(problems)} problems:\n  - " if len(problems) > 1 else ""
            raise ContractError(more + "\n  - ".join(problems))

    def is_test(self, columns: Columns) -> NDArray[np.bool_]:
        """Mask of the rows held out for evaluation."""
        boundary = np.datetime64(int(self.test_from.timestamp() * 1_000_000), "us")
        return np.asarray(columns[self.model.contract.event_time.name] >= boundary)

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the syntax tree of the declaring module: comments and layout do not count."""
        code = ast.dump(ast.parse(inspect.getsource(sys.modules[self.declared_in])))
        return hashlib.sha256(code.encode()).hexdigest()


def _list_problems(recipe: Recipe) -> Iterator[str]:
    if recipe.test_from.tzinfo is None:
        yield f"test_from {recipe.test_from} has no time zone; add one, such as tzinfo=UTC"
    for kind, named in (("gates", recipe.gates), ("candidates", recipe.candidates), ("slices", recipe.slices)):
        names = [each.name for each in named]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"{recipe.declared_in} has {kind} with the same name: {', '.join(twice)}; rename them"
    if not recipe.candidates:
        yield f"{recipe.declared_in} has no candidates; add at least one"
    if recipe.folds < _FEWEST_FOLDS:
        yield f"{recipe.declared_in}: folds is {recipe.folds}; it must be at least {_FEWEST_FOLDS}"
    if recipe.trials is not None and recipe.trials < 1:
        yield f"{recipe.declared_in}: trials is {recipe.trials}; it must be at least 1, or None for all combinations"
    if recipe.scoring not in get_scorer_names():
        close = get_close_matches(recipe.scoring, get_scorer_names())
        yield (
            f"{recipe.declared_in}: scoring is {recipe.scoring!r}, which scikit-learn does not have; use one of "
            f"{', '.join(close or ('average_precision', 'roc_auc', 'neg_brier_score', 'neg_log_loss'))}"
        )


def _list_space_problems(candidate: Candidate) -> Iterator[str]:
    known = candidate.pipeline.get_params()
    for name, values in candidate.space.items():
        where = f"candidate {candidate.name!r}: the parameter {name}"
        if name not in known:
            close = get_close_matches(name, known) or sorted(key for key in known if "__" in key) or sorted(known)
            yield f"{where} does not exist in its pipeline; did you mean {' or '.join(close[:3])}?"
        if hasattr(values, "rvs"):
            continue
        given: Sequence[object] = values
        if isinstance(given, str) or not len(given):
            yield f"{where} has the values {given!r}; give at least one in a tuple, or a distribution"
        elif other := [value for value in given if not isinstance(value, _SCALARS)]:
            yield (
                f"{where} has a value of type {type(other[0]).__name__}; allowed are bool, int, float, str and None. "
                "Declare a candidate for each instead"
            )
