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
from athanor.errors import AthanorError, ContractError, DataError
from athanor.release.graph import Graph
from athanor.tasks.task import AnyCalibration, Doubt
from athanor.training.compile.model import compile_model
from athanor.training.evaluation.evidence import Evidence, Fitted, Rows, spread
from athanor.training.evaluation.metrics import select
from athanor.training.gates.defaults import list_always
from athanor.training.gates.gate import raise_if_failed, run_gates
from athanor.training.recipe import Recipe
from athanor.training.search.failures import naming
from athanor.training.search.folds import list_fold_problems, make_folds
from athanor.training.search.search import list_trials
from athanor.training.search.trial import PREFIX, name_trial
from athanor.training.search.weights import weight_fit

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
        fitted: these rows.
        ahead: rows that the fits predict.
        is_compiled: whether the fits are compiled, and pass the gates that always run.
    """

    recipe: Recipe
    fitted: Rows
    ahead: Rows
    is_compiled: bool

    @cached_property
    def few(self) -> Rows:
        return self.fitted.take(_sample(self.recipe, self.fitted, _ROWS))

    @cached_property
    def more(self) -> Rows:
        return self.fitted.take(_sample(self.recipe, self.fitted, _MORE_ROWS))

    @cached_property
    def calibration(self) -> AnyCalibration | None:
        return self.recipe.task.neutral_calibration() if self.recipe.calibrate else None

    @cached_property
    def doubt(self) -> Doubt | None:
        if self.recipe.coverage is None:
            return None
        task, labels = self.recipe.task, self.fitted.labels
        return task.find_doubt([(labels, task.perfect_outputs(labels))], self.recipe.coverage)

    @cached_property
    def unlike(self) -> Rows:
        return self.ahead.take(_find_unlike(self.fitted, self.ahead))


def require_workable(recipe: Recipe, past: Rows, later: Rows, trials: int | None = None) -> None:
    """Fits trials of each candidate and the baseline on few rows, and compiles a fit of each candidate.

    Args:
        past: the training rows, in time order if the split is by time.
        later: the rows held out for evaluation.
        trials: number of trials of the search; the recipe's if not given.

    Raises:
        DataError: the labels allow no search on these folds.
        ContractError: a candidate cannot be fitted or compiled, or answers otherwise once compiled; the baseline cannot
            be fitted; or a slice cannot be computed. All are listed.
    """
    if problems := list(list_fold_problems(recipe, past)):
        raise DataError(_join(problems))
    folds = make_folds(recipe, past)
    # A later fold predicts from values that the first fold never saw.
    ahead = np.unique(np.concatenate([fold.validated for fold in folds]))
    first = _Stage(recipe, past.take(folds[0].fitted), past.take(ahead), is_compiled=False)
    last, uncompiled = (_Stage(recipe, past, later, is_compiled=is_so) for is_so in (True, False))
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
    unlike, task = stage.unlike, stage.recipe.task
    with threadpool_limits(1), warnings.catch_warnings():
        # Of so few rows they say nothing; the search repeats those that matter.
        warnings.simplefilter("ignore")
        with naming(who, "be fitted", rows.frame, rows.labels):
            fitted = pipeline.set_params(**parameters)
            fitted.fit(rows.frame, rows.labels, **weight_fit(fitted, rows.weights))
        with naming(who, "predict the rows that it was fitted on", rows.frame):
            task.outputs(fitted, rows.frame)
        if len(unlike):
            with naming(who, "predict rows that are unlike those it was fitted on", unlike.frame):
                task.outputs(fitted, unlike.frame)
        if stage.is_compiled:
            _compile(who, Fitted(fitted, task, stage.calibration, stage.doubt), rows, stage)


def _compile(who: str, fitted: Fitted, rows: Rows, stage: _Stage) -> None:
    """Raises ContractError unless the graph of a small fit answers as the pipeline does."""
    recipe = stage.recipe
    try:
        with naming(who, "be compiled to ONNX", rows.frame, remedy=CONVERTIBLE):
            graph = compile_model(recipe.model, fitted.pipeline, fitted.calibration, fitted.doubt)
            session = Graph(graph, GraphInputs.of(recipe.model.contract.columns))
            asked = [each for each in (rows, stage.unlike) if len(each)]
            answered = [session.answer(each.columns) for each in asked]
        for each, answers in zip(asked, answered, strict=True):
            evidence = Evidence(recipe.model, recipe.task, each, fitted, graph, answers, baseline=answers)
            raise_if_failed(run_gates(list_always(recipe.gates), evidence))
    except AthanorError as error:
        words = str(error)
        raise ContractError(words if words.startswith(who) else f"{who}: {words}") from error


def _sample(recipe: Recipe, rows: Rows, count: int) -> NDArray[np.int64]:
    """Positions, ascending: up to `count` rows of each label and with each category, a few with rare values."""
    strata = recipe.task.strata(rows.labels)
    if strata is None:
        strata = np.zeros(len(rows), np.int64)
    of_labels = (np.flatnonzero(strata == stratum) for stratum in np.unique(strata))
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
