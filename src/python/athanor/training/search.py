"""Search: which candidate, with which parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import ParameterGrid, TimeSeriesSplit
from threadpoolctl import threadpool_limits

from athanor.progress import Progress, Unwatched
from athanor.training.recipe import Candidate, Recipe


@dataclass(frozen=True)
class Trial:
    """One candidate with one set of parameters.

    Attributes:
        scores: one for each fold.
    """

    candidate: Candidate
    parameters: Mapping[str, Any]
    scores: tuple[float, ...]

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))


def search(recipe: Recipe, frame: Any, labels: NDArray[Any], progress: Progress | None = None) -> tuple[Trial, ...]:
    """Tries every candidate with every combination of its parameters, best first; ties keep the recipe's order.

    A score that is NaN comes last.
    Runs in processes on all cores, each fit on one thread: the result does not depend on how many there are.

    Args:
        frame: features in order of event time, n rows.
        labels: 0 and 1, shape (n,).
    """
    folds = list(TimeSeriesSplit(recipe.folds).split(frame))
    settings = [(c, parameters) for c in recipe.candidates for parameters in ParameterGrid(dict(c.grid))]
    jobs = [(candidate, parameters, fold) for candidate, parameters in settings for fold in folds]
    scores: list[float] = []
    with (progress or Unwatched()).step("Search over candidates", len(jobs)) as advance:
        fits = (
            delayed(_score)(recipe.scoring, c.pipeline, parameters, frame, labels, fold) for c, parameters, fold in jobs
        )
        for score in Parallel(n_jobs=min(cpu_count(), len(jobs)), return_as="generator")(fits):
            scores.append(score)
            advance(f"best {recipe.scoring} {max(scores):.4f}")
    trials = [
        Trial(candidate, parameters, tuple(scores[i * len(folds) : (i + 1) * len(folds)]))
        for i, (candidate, parameters) in enumerate(settings)
    ]
    return tuple(sorted(trials, key=lambda trial: (np.isnan(trial.score), -trial.score)))


def fit(pipeline: BaseEstimator, parameters: Mapping[str, Any], frame: Any, labels: NDArray[Any]) -> Any:
    """A fitted copy of a pipeline, fitted on one thread.

    Estimators' own threads wait for each other by spinning: on a busy machine they cost many times what they gain.
    """
    with threadpool_limits(1):
        return clone(pipeline).set_params(**parameters).fit(frame, labels)


def _score(
    scoring: str,
    pipeline: BaseEstimator,
    parameters: Mapping[str, Any],
    frame: Any,
    labels: NDArray[Any],
    fold: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> float:
    past, future = fold
    fitted = fit(pipeline, parameters, frame.iloc[past], labels[past])
    return float(get_scorer(scoring)(fitted, frame.iloc[future], labels[future]))
