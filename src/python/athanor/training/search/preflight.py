"""Small fits before a search: they find in seconds, and report all at once, faults that no fit can survive.

A few hundred rows cannot prove that a fit of all rows works. They find estimators without a converter, wrong
parameters, features without a value and the like, which would otherwise end a search after hours.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from threadpoolctl import threadpool_limits

from athanor.contract.inputs import GraphInputs
from athanor.errors import ContractError, DataError
from athanor.features.features import Model
from athanor.release.graph import Graph
from athanor.release.manifest import Calibration
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Rows, spread
from athanor.training.evaluation.metrics import select
from athanor.training.recipe import Recipe
from athanor.training.search.failures import naming
from athanor.training.search.folds import list_fold_problems, make_folds
from athanor.training.search.search import list_trials
from athanor.training.search.trial import PREFIX, name_trial, require_probabilities

_ROWS: Final = 100
"""Rows of each label, and categories of each feature, in a small fit."""
_MORE_ROWS: Final = 5_000
"""The same in a second fit, if the small one failed: perhaps for want of rows."""
_RARE: Final = 10
"""Rows with a value, and without one, of each numeric feature."""
_TRIALS: Final = 12
"""Trials that are fitted, at least one of each candidate."""
BASELINE: Final = "the baseline"
CONVERTIBLE: Final = "use an estimator that skl2onnx converts; docs/training.md lists some"


@dataclass(frozen=True)
class _Stage:
    """Fits of the training on some rows.

    Attributes:
        model: whose features the pipelines take.
        fitted: these rows.
        ahead: rows that the fits predict.
        is_compiled: whether the fits are compiled.
        calibration: compiled with them; None for no calibration.
    """

    model: Model
    fitted: Rows
    ahead: Rows
    is_compiled: bool
    calibration: Calibration | None = None

    @cached_property
    def few(self) -> Rows:
        return self.fitted.take(_sample(self.fitted, _ROWS))

    @cached_property
    def more(self) -> Rows:
        return self.fitted.take(_sample(self.fitted, _MORE_ROWS))

    @cached_property
    def unlike(self) -> Rows:
        return self.ahead.take(_find_unlike(self.fitted, self.ahead))


def require_workable(recipe: Recipe, past: Rows, later: Rows, trials: int | None = None) -> None:
    """Fits trials of each candidate and the baseline on few rows, and compiles a fit of each candidate.

    Args:
        past: the training rows, in time order.
        later: the rows held out for evaluation.
        trials: number of trials of the search; the recipe's if not given.

    Raises:
        DataError: the labels allow no search on these folds.
        ContractError: a candidate cannot be fitted or compiled, the baseline cannot be fitted, or a slice cannot be
            computed. All are listed.
    """
    if problems := list(list_fold_problems(recipe, past.labels)):
        raise DataError(_join(problems))
    fitted, _ = next(make_folds(recipe).split(past.labels))
    # A later fold predicts from values that the first fold never saw.
    ahead = past.take(np.arange(len(fitted), len(past)))
    first = _Stage(recipe.model, past.take(fitted), ahead, is_compiled=False)
    last = _Stage(recipe.model, past, later, True, Calibration(slope=1.0, intercept=0.0) if recipe.calibrate else None)
    uncompiled = _Stage(recipe.model, past, later, is_compiled=False)
    problems = [
        *_list_failures(list_trials(recipe, trials), first, last),
        *filter(None, [_try(BASELINE, recipe.baseline, {}, uncompiled)]),
        *_list_slice_problems(recipe, later),
    ]
    if problems:
        raise ContractError(_join(problems))


def _list_failures(tried: Sequence[Mapping[str, Any]], first: _Stage, last: _Stage) -> Iterator[str]:
    compiled, failed = set[str](), set[str]()
    for trial in _choose(tried):
        name = trial["algorithm"]
        # One failure of a candidate is enough: its other trials mostly fail for the same reason.
        if name in failed:
            continue
        own = {key.removeprefix(PREFIX): value for key, value in trial.items() if key.startswith(PREFIX)}
        # Numbers do not decide whether a pipeline compiles; a kernel or a metric does.
        kind = str([name, *(item for item in own.items() if isinstance(item[1], str | bool | None))])
        stages = [first] if kind in compiled else [first, last]
        compiled.add(kind)
        problems = (_try(name_trial(name, own), trial["pipeline"], own, stage) for stage in stages)
        if problem := next(filter(None, problems), ""):
            failed.add(name)
            yield problem


def _list_slice_problems(recipe: Recipe, later: Rows) -> Iterator[str]:
    few = later.take(spread(len(later), _MORE_ROWS)).columns
    for slice_ in recipe.slices:
        try:
            list(select(slice_, few))
        except ContractError as error:
            yield str(error)


def _choose(tried: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The first trial of each candidate, then others, evenly spread."""
    first: dict[str, int] = {}
    for position, trial in enumerate(tried):
        first.setdefault(trial["algorithm"], position)
    rest = [position for position in range(len(tried)) if position not in first.values()]
    more = (rest[at] for at in spread(len(rest), max(_TRIALS - len(first), 0))) if rest else ()
    return (tried[position] for position in (*first.values(), *more))


def _try(who: str, pipeline: BaseEstimator, parameters: Mapping[str, Any], stage: _Stage) -> str:
    """Why a small fit fails, and a larger one too; "" if one of them works."""
    try:
        _fit(who, clone(pipeline), parameters, stage.few, stage)
    except ContractError as error:
        if len(stage.few) == len(stage.fitted):
            return str(error)
    else:
        return ""
    try:
        _fit(who, clone(pipeline), parameters, stage.more, stage)
    except ContractError as error:
        return str(error)
    return ""


def _fit(who: str, pipeline: Any, parameters: Mapping[str, Any], rows: Rows, stage: _Stage) -> None:
    unlike = stage.unlike
    with threadpool_limits(1), warnings.catch_warnings():
        # Of so few rows they say nothing; the search repeats those that matter.
        warnings.simplefilter("ignore")
        with naming(who, "be fitted", rows.frame, rows.labels):
            fitted = pipeline.set_params(**parameters).fit(rows.frame, rows.labels)
        with naming(who, "predict the rows that it was fitted on", rows.frame):
            require_probabilities(fitted.predict_proba(rows.frame))
        if len(unlike):
            with naming(who, "predict rows that are unlike those it was fitted on", unlike.frame):
                require_probabilities(fitted.predict_proba(unlike.frame))
    if stage.is_compiled:
        with naming(who, "be compiled to ONNX", rows.frame, remedy=CONVERTIBLE):
            content = compile_model(stage.model, fitted, stage.calibration)
            graph = Graph(content, GraphInputs.of(stage.model.contract.columns))
            for each in (rows, unlike) if len(unlike) else (rows,):
                graph.predict_probability(each.columns)


def _sample(rows: Rows, count: int) -> NDArray[np.int64]:
    """Positions, in time order: up to `count` rows of each label and with each category, a few with rare values."""
    of_labels = (np.flatnonzero(rows.labels == label) for label in (0, 1))
    chosen = [positions[spread(len(positions), count)] for positions in of_labels]
    for name in rows.frame.columns:
        values = rows.frame[name]
        if _is_text(values):
            chosen.append(np.flatnonzero(~values.duplicated().to_numpy())[:count])
        else:
            is_missing = values.isna().to_numpy()
            chosen += [np.flatnonzero(mask)[:_RARE] for mask in (is_missing, ~is_missing)]
    return np.unique(np.concatenate(chosen))


def _find_unlike(fitted: Rows, ahead: Rows) -> NDArray[np.int64]:
    """Positions of rows ahead with a category that no fitted row has, or without a value that all fitted rows have."""
    chosen = [np.empty(0, dtype=np.int64)]
    for name in fitted.frame.columns:
        known, values = fitted.frame[name], ahead.frame[name]
        is_known = values.isin(known.unique()) if _is_text(known) else values.notna() | known.isna().any()
        chosen.append(np.flatnonzero(~is_known.to_numpy())[:_RARE])
    return np.unique(np.concatenate(chosen))


def _is_text(values: Any) -> bool:
    return bool(values.dtype.kind == "O")


def _join(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return f"nothing was searched: {problems[0]}"
    return "\n".join([f"nothing was searched, for {len(problems)} reasons:", *(f"  - {text}" for text in problems)])
