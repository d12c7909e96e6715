"""The search: all combinations, on later rows than those fitted, best first."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from support.flights import make_columns

from athanor.data.tables import join_blocks
from athanor.training import search as module
from athanor.training.recipe import Candidate, Recipe
from athanor.training.search import search
from projects.flight_delay.model import MODEL

_COLUMNS = make_columns(200)
_ARRAYS = MODEL.features(_COLUMNS)
_FRAME = join_blocks((MODEL.features.numeric, _ARRAYS.numeric), (MODEL.features.categorical, _ARRAYS.categorical))
_LABELS = _COLUMNS["arrived_late"].astype(np.int64)


@pytest.fixture(autouse=True)
def _in_this_process() -> Iterator[None]:
    """Starting processes takes seconds; that they give the same result is tested with the whole training."""
    with joblib.parallel_config(backend="sequential"):
        yield


def _candidate(name: str, **grid: Any) -> Candidate:
    return Candidate(name, LogisticRegression(), grid)


def _patch_scores(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> list[Any]:
    """Gives these scores in turn, and collects what was asked for."""
    asked: list[Any] = []
    given = iter(scores)

    def score(scoring: str, pipeline: Any, parameters: Any, frame: Any, labels: Any, fold: Any) -> float:
        asked.append((scoring, parameters, fold))
        return next(given)

    monkeypatch.setattr(module, "_score", score)
    return asked


def test_the_better_candidate_comes_first(make_recipe: Callable[..., Recipe]) -> None:
    trials = search(make_recipe(), _FRAME, _LABELS)
    assert [trial.candidate.name for trial in trials] == ["distance", "distance", "visibility"]
    assert [trial.score for trial in trials] == sorted((trial.score for trial in trials), reverse=True)
    assert all(len(trial.scores) == 2 and trial.score == np.mean(trial.scores) for trial in trials)


def test_all_combinations_of_all_candidates_are_tried_on_every_fold(
    make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _patch_scores(monkeypatch, [0.0] * 21)
    candidates = (_candidate("one", C=(1, 2), tol=(3, 4, 5)), _candidate("two"))
    trials = search(make_recipe(candidates=candidates, folds=3, scoring="roc_auc"), _FRAME, _LABELS)
    assert len(asked) == 21
    assert {scoring for scoring, _, _ in asked} == {"roc_auc"}
    tried = sorted((trial.candidate.name, *sorted(trial.parameters.items())) for trial in trials)
    assert tried == sorted(
        [*(("one", ("C", c), ("tol", t)) for c, t in itertools.product((1, 2), (3, 4, 5))), ("two",)]
    )


def test_each_fold_validates_on_rows_later_than_those_it_fits(
    make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _patch_scores(monkeypatch, [0.0] * 4)
    search(make_recipe(candidates=(_candidate("one"),), folds=4), _FRAME, _LABELS)
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = [fold for _, _, fold in asked]
    assert all(past.max() < future.min() for past, future in folds)
    assert [len(past) for past, _ in folds] == [40, 80, 120, 160]


@pytest.mark.parametrize(
    ("scores", "order"),
    [
        ([1, 1, 1, 1, 1, 1], ["a", "b", "c"]),
        ([0, 1, 0.5, 0.5, 1, 1], ["c", "a", "b"]),
        ([1, np.nan, 0, 0, 0.5, 0.5], ["c", "b", "a"]),
        ([np.nan, 1, 0, 1, np.nan, 1], ["b", "a", "c"]),
    ],
)
def test_ties_keep_the_order_of_the_recipe_and_nan_comes_last(
    make_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, scores: list[float], order: list[str]
) -> None:
    _patch_scores(monkeypatch, scores)
    trials = search(make_recipe(candidates=tuple(map(_candidate, "abc"))), _FRAME, _LABELS)
    assert [trial.candidate.name for trial in trials] == order


def test_candidates_stay_unfitted(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe()
    search(recipe, _FRAME, _LABELS)
    assert not any(hasattr(candidate.pipeline[-1], "coef_") for candidate in recipe.candidates)
