"""Hyperparameter search over candidates: scikit-learn's, on time-ordered folds, resumable."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, RandomizedSearchCV
from threadpoolctl import threadpool_limits

from athanor.errors import ContractError
from athanor.progress import Advance, Progress, Unwatched
from athanor.release.manifest import Scalar
from athanor.release.record import Trial
from athanor.training.recipe import Candidate, Recipe
from athanor.training.search.failures import naming
from athanor.training.search.folds import make_folds
from athanor.training.search.trial import (
    ENDING,
    PREFIX,
    CachedPipeline,
    CachedScore,
    FoldPredictions,
    to_scalars,
    trial_name,
)

_POLL_S: Final = 0.2


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        trials: best first; ties keep the order of sampling, and a trial with a NaN score comes last.
        candidate, parameters: of the best trial.
        folds: labels and the best trial's probabilities for the validation rows of each fold, in time order.
    """

    trials: tuple[Trial, ...]
    candidate: Candidate
    parameters: Mapping[str, Scalar]
    folds: tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...]


def search(
    recipe: Recipe,
    frame: Any,
    labels: NDArray[np.int64],
    folder: Path,
    progress: Progress | None = None,
    trials: int | None = None,
    jobs: int | None = None,
) -> SearchResult:
    """Evaluates candidates and parameters by cross-validation on time-ordered folds.

    Runs in processes on all cores, or on joblib's current backend; each fit uses one thread. The result does not
    depend on either.

    Args:
        frame: features sorted by event time, n rows.
        labels: 0 and 1, shape (n,).
        folder: used by this search alone and visible to all workers. Fits whose predictions it contains are skipped.
        trials: number of trials; the recipe's if not given.
        jobs: number of processes; one per core if not given, of the whole cluster if there is one.

    Raises:
        ContractError: the recipe has a distribution but no number of trials; a trial cannot be fitted; or no trial has
            a score in every fold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    searching = _make_search(recipe, CachedPipeline(folder=folder), trials, jobs or effective_n_jobs(-1))
    with (
        (progress or Unwatched()).step("Search over candidates", _count_fits(searching, recipe.folds)) as advance,
        _reporting(folder, recipe, advance),
    ):
        searching.fit(frame, labels)
    tried = _read_trials(searching.cv_results_["params"], searching.cv_results_, recipe.folds, folder)
    order = sorted(range(len(tried)), key=lambda i: _rank(tried[i]))
    _require_score(recipe, tried[order[0]])
    best = searching.cv_results_["params"][order[0]]
    candidate = next(c for c in recipe.candidates if c.name == best["algorithm"])
    kept = _read_predictions(tried[order[0]], folder)
    futures = [future for _, future in make_folds(recipe).split(frame)]
    return SearchResult(
        trials=tuple(tried[i] for i in order),
        candidate=candidate,
        parameters=tried[order[0]].parameters,
        folds=tuple((labels[rows], answers.probabilities) for rows, answers in zip(futures, kept, strict=True)),
    )


def list_trials(recipe: Recipe, trials: int | None = None) -> list[Mapping[str, Any]]:
    """Candidates and parameters that a search tries, as scikit-learn's search takes them.

    Raises:
        ContractError: as `search`.
    """
    searching = _make_search(recipe, CachedPipeline(folder=Path()), trials, 1)
    if isinstance(searching, GridSearchCV):
        return list(ParameterGrid(searching.param_grid))
    return list(ParameterSampler(searching.param_distributions, searching.n_iter, random_state=recipe.seed))


def fit(who: str, pipeline: BaseEstimator, parameters: Mapping[str, Any], frame: Any, labels: NDArray[Any]) -> Any:
    """A copy of a pipeline, fitted on one thread.

    Raises:
        ContractError: it cannot be fitted; `who` names it.
    """
    with threadpool_limits(1), naming(who, "be fitted", frame, labels):
        return clone(pipeline).set_params(**parameters).fit(frame, labels)


def _make_search(recipe: Recipe, kept: CachedPipeline, trials: int | None, jobs: int) -> Any:
    trials = trials or recipe.trials
    spaces = [
        {"algorithm": [c.name], "pipeline": [c.pipeline], **{f"{PREFIX}{name}": v for name, v in c.space.items()}}
        for c in recipe.candidates
    ]
    common = {
        "scoring": CachedScore(recipe.scoring),
        "cv": make_folds(recipe),
        "n_jobs": jobs,
        "refit": False,
        "error_score": "raise",
    }
    is_finite = not any(hasattr(values, "rvs") for space in spaces for values in space.values())
    if trials is None and not is_finite:
        raise ContractError(f"{recipe.declared_in} samples parameters from a distribution; set `trials`")
    if trials is None or (is_finite and trials >= len(ParameterGrid(spaces))):
        return GridSearchCV(kept, spaces, **common)
    return RandomizedSearchCV(kept, spaces, n_iter=trials, random_state=recipe.seed, **common)


def _require_score(recipe: Recipe, best: Trial) -> None:
    """Without a score of the best trial there is nothing to choose by."""
    if None in best.scores:
        raise ContractError(
            f"{recipe.declared_in}: no trial has a {recipe.scoring} in each of {recipe.folds} folds; choose another "
            "`scoring`, fewer folds, or use more rows before test_from"
        )


def _count_fits(searching: Any, folds: int) -> int:
    if isinstance(searching, GridSearchCV):
        return folds * len(ParameterGrid(searching.param_grid))
    return folds * int(searching.n_iter)


@contextmanager
def _reporting(folder: Path, recipe: Recipe, advance: Advance) -> Iterator[None]:
    """Reports progress as fits finish. Fits run in other processes, so it watches for their files in the folder."""
    ended = threading.Event()
    scores: dict[str, dict[Path, float]] = defaultdict(dict)

    def look() -> None:
        for path in sorted(
            set(folder.glob(f"*{ENDING}")) - {path for of_trial in scores.values() for path in of_trial}
        ):
            scores[path.name.partition("-")[0]][path] = FoldPredictions.read(path).score
            whole = [np.mean([*of_trial.values()]) for of_trial in scores.values() if len(of_trial) == recipe.folds]
            advance(f"best {recipe.scoring} {max(whole):.4f}" if whole else "")

    def watch() -> None:
        while not ended.wait(_POLL_S):
            look()

    watcher = threading.Thread(target=watch, name="search progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()


def _read_trials(drawn: list[dict[str, Any]], results: Mapping[str, Any], folds: int, folder: Path) -> list[Trial]:
    trials = []
    for i, parameters in enumerate(drawn):
        scores = [float(results[f"split{fold}_test_score"][i]) for fold in range(folds)]
        own = to_scalars({n.removeprefix(PREFIX): v for n, v in parameters.items() if n.startswith(PREFIX)})
        trial = Trial(
            algorithm=parameters["algorithm"],
            parameters=own,
            scores=tuple(score if np.isfinite(score) else None for score in scores),
            fit_s=0.0,
        )
        fit_s = sum(answers.fit_s for answers in _read_predictions(trial, folder))
        trials.append(trial.model_copy(update={"fit_s": round(fit_s, 3)}))
    return trials


def _read_predictions(trial: Trial, folder: Path) -> list[FoldPredictions]:
    """In time order."""
    files = folder.glob(f"{trial_name(trial.algorithm, trial.parameters)}-*{ENDING}")
    return sorted((FoldPredictions.read(path) for path in files), key=lambda answers: answers.fitted)


def _rank(trial: Trial) -> tuple[bool, float]:
    scores = [score for score in trial.scores if score is not None]
    is_whole = len(scores) == len(trial.scores)
    return (not is_whole, -float(np.mean(scores)) if is_whole else 0.0)
