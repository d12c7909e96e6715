"""Hyperparameter search over candidates: scikit-learn's, on folds that follow the split, resumable."""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, ParameterGrid, ParameterSampler, RandomizedSearchCV
from threadpoolctl import threadpool_limits

from athanor.errors import ContractError
from athanor.progress import Advance, Progress, Unwatched
from athanor.release.manifest import Scalar
from athanor.release.record import Trial
from athanor.tasks.task import Folds
from athanor.training.candidates import Candidate
from athanor.training.evaluation.evidence import Rows
from athanor.training.recipe import Recipe
from athanor.training.search.failures import naming
from athanor.training.search.folds import Fold, make_folds
from athanor.training.search.trial import (
    ENDING,
    PREFIX,
    CachedPipeline,
    CachedScore,
    FoldOutputs,
    cache_file,
    to_scalars,
    trial_name,
)
from athanor.training.search.weights import weight_fit

_POLL_S: Final = 0.2


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        trials: best first; ties keep the order of sampling, and a trial with a NaN score comes last.
        candidate, parameters: of the best trial.
        folds: labels and the best trial's outputs for the validated rows of each fold.
    """

    trials: tuple[Trial, ...]
    candidate: Candidate
    parameters: Mapping[str, Scalar]
    folds: Folds


def search(
    recipe: Recipe,
    rows: Rows,
    folder: Path,
    progress: Progress | None = None,
    trials: int | None = None,
    jobs: int | None = None,
) -> SearchResult:
    """Evaluates candidates and parameters by cross-validation on the folds of the recipe's split.

    Runs in processes on all cores, or on joblib's current backend; each fit uses one thread. The result does not
    depend on either.

    Args:
        rows: the training rows, sorted by event time if the split is by time.
        folder: used by this search alone and visible to all workers. Fits whose outputs it contains are skipped.
        trials: number of trials; the recipe's if not given.
        jobs: number of processes; one per core if not given, of the whole cluster if there is one.

    Raises:
        ContractError: the recipe has a distribution but no number of trials; a trial cannot be fitted; or no trial has
            a score in every fold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folds = make_folds(recipe, rows)
    searching = _make_search(recipe, folder, trials, jobs or effective_n_jobs(-1), folds)
    with (
        (progress or Unwatched()).step("Search over candidates", _count_fits(searching, recipe.folds)) as advance,
        _reporting(folder, recipe, advance),
    ):
        # The index is what identifies the rows of a fold.
        frame = rows.frame.set_axis(np.arange(len(rows)), axis=0)
        # scikit-learn gives the weights of a fold's rows to its fit and to its score.
        searching.fit(frame, rows.labels, sample_weight=rows.weights)
    tried = _read_trials(searching.cv_results_["params"], searching.cv_results_, folds, folder)
    order = sorted(range(len(tried)), key=lambda i: _rank(tried[i]))
    best = tried[order[0]]
    _require_score(recipe, best)
    kept = _read_outputs(best, folds, folder)
    return SearchResult(
        trials=tuple(tried[i] for i in order),
        candidate=next(c for c in recipe.candidates if c.name == best.algorithm),
        parameters=best.parameters,
        folds=tuple((rows.labels[fold.validated], of.outputs) for fold, of in zip(folds, kept, strict=True)),
    )


def list_trials(recipe: Recipe, trials: int | None = None) -> list[Mapping[str, Any]]:
    """Candidates and parameters that a search tries, as scikit-learn's search takes them.

    Raises:
        ContractError: as `search`.
    """
    searching = _make_search(recipe, Path(), trials, 1)
    if isinstance(searching, GridSearchCV):
        return list(ParameterGrid(searching.param_grid))
    return list(ParameterSampler(searching.param_distributions, searching.n_iter, random_state=recipe.seed))


def fit(who: str, pipeline: BaseEstimator, parameters: Mapping[str, Any], rows: Rows) -> Any:
    """A copy of a pipeline, fitted on one thread.

    Raises:
        ContractError: it cannot be fitted, or takes no weights and there are some; `who` names it.
    """
    with threadpool_limits(1), naming(who, "be fitted", rows.frame, rows.labels):
        unfitted = clone(pipeline).set_params(**parameters)
        return unfitted.fit(rows.frame, rows.labels, **weight_fit(unfitted, rows.weights))


def _make_search(recipe: Recipe, folder: Path, trials: int | None, jobs: int, folds: Sequence[Fold] = ()) -> Any:
    kept, trials = CachedPipeline(folder=folder), trials or recipe.trials
    spaces = [
        {"algorithm": [c.name], "pipeline": [c.pipeline], **{f"{PREFIX}{name}": v for name, v in c.space.items()}}
        for c in recipe.candidates
    ]
    common = {
        "scoring": CachedScore(recipe.task, recipe.scoring),
        "cv": [(fold.fitted, fold.validated) for fold in folds],
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
            f"{recipe.declared_in}: no trial has a score ({recipe.scoring}) in each of {recipe.folds} folds; choose "
            "another `scoring`, fewer folds, or use more rows"
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
            scores[path.name.partition("-")[0]][path] = FoldOutputs.read(path).score
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


def _read_trials(
    drawn: list[dict[str, Any]], results: Mapping[str, Any], folds: Sequence[Fold], folder: Path
) -> list[Trial]:
    trials = []
    for i, parameters in enumerate(drawn):
        scores = [float(results[f"split{fold}_test_score"][i]) for fold in range(len(folds))]
        own = to_scalars({n.removeprefix(PREFIX): v for n, v in parameters.items() if n.startswith(PREFIX)})
        trial = Trial(
            algorithm=parameters["algorithm"],
            parameters=own,
            scores=tuple(score if np.isfinite(score) else None for score in scores),
            fit_s=0.0,
        )
        fit_s = sum(of.fit_s for of in _read_outputs(trial, folds, folder))
        trials.append(trial.model_copy(update={"fit_s": round(fit_s, 3)}))
    return trials


def _read_outputs(trial: Trial, folds: Sequence[Fold], folder: Path) -> list[FoldOutputs]:
    name = trial_name(trial.algorithm, trial.parameters)
    return [FoldOutputs.read(cache_file(folder, name, fold.fitted, fold.validated)) for fold in folds]


def _rank(trial: Trial) -> tuple[bool, float]:
    scores = [score for score in trial.scores if score is not None]
    is_whole = len(scores) == len(trial.scores)
    return (not is_whole, -float(np.mean(scores)) if is_whole else 0.0)
