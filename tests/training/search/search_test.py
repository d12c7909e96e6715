"""The search: scikit-learn's own, on later rows than those fitted, best first, and it can be interrupted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.preprocessing import OneHotEncoder
from support.flights import make_columns
from support.pipelines import MakeRecipe, make_pipeline_over
from support.processes import wait_until
from support.searches import search_flights, start

from athanor.errors import ContractError
from athanor.progress import Advance
from athanor.release.record import Trial
from athanor.tasks.tasks import task_of
from athanor.training.candidates import Candidate
from athanor.training.evaluation.evidence import Rows
from athanor.training.search.folds import make_folds
from athanor.training.search.search import SearchResult, search
from projects.delays.model import MODEL

_TASK = task_of(MODEL.contract)
_ROWS = Rows.make(_TASK, MODEL, make_columns(300))
_PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _in_this_process() -> Iterator[None]:
    """Starting processes takes seconds; that they give the same result is tested with the whole training."""
    with joblib.parallel_config(backend="sequential"):
        yield


def _search(recipe: Any, folder: Path, **options: Any) -> SearchResult:
    return search(recipe, _ROWS, folder, **options)


def _without_times(trials: tuple[Trial, ...]) -> list[Trial]:
    return [trial.model_copy(update={"fit_s": 0.0}) for trial in trials]


def _key(trial: Trial) -> tuple[object, ...]:
    return (trial.algorithm, *sorted(trial.parameters.items()))


def _score(trial: Trial) -> float:
    return float(np.mean([score for score in trial.scores if score is not None]))


def test_the_better_candidate_comes_first(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    found = _search(make_recipe(), tmp_path)
    assert [trial.algorithm for trial in found.trials] == ["distance", "distance", "visibility"]
    assert [_score(t) for t in found.trials] == sorted((_score(t) for t in found.trials), reverse=True)
    assert (found.candidate.name, found.parameters) == ("distance", found.trials[0].parameters)


def test_it_scores_as_scikit_learn_does(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """The independent way: its own search over one candidate."""
    recipe = make_recipe(scoring="roc_auc", folds=3)
    candidate = recipe.candidates[1]
    plain = GridSearchCV(candidate.pipeline, dict(candidate.space), scoring="roc_auc", cv=TimeSeriesSplit(3))
    results = plain.fit(_ROWS.frame, _ROWS.labels).cv_results_
    expected = {
        str(parameters): [results[f"split{fold}_test_score"][i] for fold in range(3)]
        for i, parameters in enumerate(results["params"])
    }
    found = {str(t.parameters): list(t.scores) for t in _search(recipe, tmp_path).trials if t.algorithm == "distance"}
    assert found == {name: pytest.approx(scores) for name, scores in expected.items()}


def test_all_combinations_are_tried_unless_trials_is_given(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    space = {"logisticregression__C": (0.1, 1.0, 10.0), "logisticregression__fit_intercept": (True, False)}
    candidates = (Candidate("one", make_pipeline_over("distance"), space), Candidate("two", make_pipeline_over(), {}))
    recipe = make_recipe(candidates=candidates)
    whole = _search(recipe, tmp_path / "whole").trials
    assert len({_key(t) for t in whole}) == len(whole) == 7
    some = _search(recipe, tmp_path / "some", trials=3).trials
    assert len(some) == 3
    assert {_key(t) for t in some} <= {_key(t) for t in whole}
    assert len(_search(recipe, tmp_path / "more", trials=100).trials) == 7


def test_the_same_seed_draws_the_same_and_another_seed_others(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    space = {"logisticregression__C": loguniform(1e-3, 1e3)}
    candidates = (Candidate("drawn", make_pipeline_over("distance"), space),)
    drawn = [
        _search(make_recipe(candidates=candidates, trials=4, seed=seed), tmp_path / str(turn)).trials
        for turn, seed in enumerate((0, 0, 1))
    ]
    assert _without_times(drawn[0]) == _without_times(drawn[1])
    assert {str(t.parameters) for t in drawn[0]}.isdisjoint(str(t.parameters) for t in drawn[2])
    assert all(type(t.parameters["logisticregression__C"]) is float for t in drawn[0])


def test_a_distribution_needs_a_number_of_trials(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    candidate = Candidate("drawn", make_pipeline_over("distance"), {"logisticregression__C": loguniform(1e-3, 1e3)})
    with pytest.raises(ContractError, match="samples parameters from a distribution; set `trials`"):
        _search(make_recipe(candidates=(candidate,)), tmp_path)


def test_no_fold_is_fitted_on_its_future(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    found = _search(make_recipe(folds=4), tmp_path)
    expected = [_ROWS.labels[first : first + 60] for first in range(60, 300, 60)]
    assert [labels.tolist() for labels, _ in found.folds] == [labels.tolist() for labels in expected]
    assert [(len(fold.fitted), len(fold.validated)) for fold in make_folds(make_recipe(folds=4), _ROWS)] == [
        (60, 60),
        (120, 60),
        (180, 60),
        (240, 60),
    ]


def test_the_answers_of_the_best_one_are_those_it_was_scored_by(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    found = _search(make_recipe(scoring="neg_brier_score"), tmp_path)
    for (labels, outputs), score in zip(found.folds, found.trials[0].scores, strict=True):
        assert -np.mean((labels - outputs[:, 0]) ** 2) == pytest.approx(score)


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_without_a_score_in_each_fold_nothing_is_chosen(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """With one label in the first fold's future there is no area under a curve."""
    labels = _ROWS.labels.copy()
    labels[100:200] = 0
    with pytest.raises(ContractError, match=r"no trial has a score \(roc_auc\) in each of 2 folds; choose another"):
        search(make_recipe(scoring="roc_auc"), replace(_ROWS, labels=labels), tmp_path)


def test_ties_keep_the_order_of_the_recipe(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    candidates = tuple(Candidate(name, make_pipeline_over("distance"), {}) for name in ("b", "a", "c"))
    assert [t.algorithm for t in _search(make_recipe(candidates=candidates), tmp_path).trials] == ["b", "a", "c"]


def test_candidates_stay_unfitted(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe()
    _search(recipe, tmp_path)
    assert not any(hasattr(candidate.pipeline[-1], "coef_") for candidate in recipe.candidates)


def test_a_candidate_that_cannot_be_fitted_is_an_error_and_not_a_bad_score(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    candidate = Candidate("wrong", make_pipeline_over("distance"), {"logisticregression__C": (-1.0,)})
    with pytest.raises(
        ContractError,
        match=r"^candidate 'wrong' with \{'logisticregression__C': -1.0\} cannot be fitted: .*'C' parameter.* 100 rows",
    ):
        _search(make_recipe(candidates=(candidate,)), tmp_path)
    strict = make_pipeline_over("distance").set_params(columntransformer__categorical=OneHotEncoder())
    with pytest.raises(ContractError, match=r"'strict' cannot predict the validated rows of a fold: .*handle_unknown"):
        search(make_recipe(candidates=(Candidate("strict", strict, {}),)), _with_a_new_origin(), tmp_path)


def _with_a_new_origin() -> Rows:
    frame = _ROWS.frame.copy()
    frame.loc[250:, "origin"] = "NEW"
    return replace(_ROWS, frame=frame)


class _Counting(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    fits = 0

    def fit(self, *arguments: Any, **named: Any) -> Any:
        type(self).fits += 1
        return super().fit(*arguments, **named)


def test_cached_fits_are_skipped(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    pipeline = make_pipeline_over("distance")
    pipeline.steps[-1] = ("logisticregression", _Counting())
    recipe = make_recipe(candidates=(Candidate("counted", pipeline, {"logisticregression__C": (0.1, 1.0)}),))
    _Counting.fits = 0
    first = _search(recipe, tmp_path)
    assert _Counting.fits == 4
    next(iter(sorted(tmp_path.iterdir()))).unlink()
    assert _search(recipe, tmp_path).trials[0].scores == first.trials[0].scores
    assert _Counting.fits == 5


def test_a_search_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed by the system, in the middle of its fits, again and again: each run keeps what those before it found."""
    kept: list[set[str]] = [set()]
    for _ in range(3):
        process = start(tmp_path)
        assert wait_until(lambda: len(list(tmp_path.glob("*.npz"))) > len(kept[-1]), _PATIENCE_S)
        process.kill()
        process.join(_PATIENCE_S)
        assert process.exitcode == -signal.SIGKILL
        kept.append({path.name for path in tmp_path.glob("*.npz")})
        assert kept[-2] < kept[-1]
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    found = search_flights(tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times
    whole = search_flights(tmp_path / "whole")
    assert _without_times(found.trials) == _without_times(whole.trials)


def test_it_reports_every_fit_and_the_best_score_so_far(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    told: list[str] = []

    class Listener:
        @contextmanager
        def step(self, description: str, total: int = 1) -> Iterator[Advance]:
            assert total == 6
            yield lambda words, amount=1: told.append(words)

    found = _search(make_recipe(), tmp_path, progress=Listener())
    assert len(told) == 6
    assert told[-1] == f"best average_precision {_score(found.trials[0]):.4f}"
