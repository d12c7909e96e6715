"""Folds follow the split: later rows by time, random ones otherwise, and a group on one side alone."""

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit
from support.tables import TASKS, make_model, make_recipe_of, make_table

from athanor.training.evaluation.evidence import Rows
from athanor.training.recipe import Recipe
from athanor.training.search.folds import list_fold_problems, make_folds
from athanor.training.splits import Latest, Share


def _prepare(task: str, count: int = 120, options: Any = None, **given: Any) -> tuple[Recipe, Rows]:
    model = make_model(task, **(options or {}))
    recipe = make_recipe_of(model, **given)
    return recipe, Rows.make_without_features(recipe.task, make_table(model.contract, count))


def _positions(folds: Any) -> list[tuple[list[int], list[int]]]:
    return [(fitted.tolist(), validated.tolist()) for fitted, validated in folds]


@pytest.mark.parametrize("task", TASKS)
def test_by_time_each_fold_validates_on_rows_after_all_that_it_fits(task: str) -> None:
    recipe, rows = _prepare(task, folds=4, split=Latest(0.2))
    found = [(fold.fitted, fold.validated) for fold in make_folds(recipe, rows)]
    assert _positions(found) == _positions(TimeSeriesSplit(4).split(rows.labels))


@pytest.mark.parametrize("task", TASKS)
def test_without_time_folds_are_random_by_the_seed_and_hold_every_row_once(task: str) -> None:
    recipe, rows = _prepare(task, folds=4, seed=3, options={"with_time": False})
    found = [(fold.fitted, fold.validated) for fold in make_folds(recipe, rows)]
    has_categories = recipe.task.strata(rows.labels) is not None
    plain: Any = (StratifiedKFold if has_categories else KFold)(4, shuffle=True, random_state=3)
    assert _positions(found) == _positions(plain.split(rows.labels, rows.labels))
    assert sorted(np.concatenate([validated for _, validated in found])) == list(range(120))


def test_folds_follow_the_split_and_not_the_contract() -> None:
    recipe, rows = _prepare("binary", split=Share(0.2))
    assert recipe.folds == 5
    assert any(fold.validated.min() < fold.fitted.min() for fold in make_folds(recipe, rows))


@pytest.mark.parametrize("split", [Latest(0.2), Share(0.2)])
@pytest.mark.parametrize("task", TASKS)
def test_no_group_is_fitted_and_validated(task: str, split: Any) -> None:
    recipe, rows = _prepare(task, options={"with_group": True}, split=split, folds=4)
    assert rows.groups is not None
    folds = make_folds(recipe, rows)
    for fold in folds:
        assert not set(rows.groups[fold.fitted]) & set(rows.groups[fold.validated])
    if not split.is_by_time:
        assert sorted(np.concatenate([fold.validated for fold in folds])) == list(range(120))


def test_earlier_rows_of_groups_that_come_again_are_left_out_of_a_fold_and_counted() -> None:
    """Customers have four rows each, folds of 22 rows begin within one."""
    recipe, rows = _prepare("binary", count=110, options={"with_group": True}, folds=4)
    assert [(len(fold.fitted), fold.left_out) for fold in make_folds(recipe, rows)] == [
        (20, 2),
        (44, 0),
        (64, 2),
        (88, 0),
    ]


def test_a_category_with_fewer_rows_than_folds_is_spread_without_a_warning() -> None:
    recipe, rows = _prepare("multiclass", options={"with_time": False})
    rows.labels[:] = 0
    rows.labels[:40] = 1
    rows.labels[40:42] = 2
    assert list(list_fold_problems(recipe, rows)) == []
    assert sum(2 in rows.labels[fold.validated] for fold in make_folds(recipe, rows)) == 2


def test_where_no_category_has_a_row_for_each_fold_folds_are_random_all_the_same() -> None:
    recipe, rows = _prepare("multiclass", count=8, options={"with_time": False}, folds=4)
    rows.labels[:] = [0, 0, 0, 1, 1, 1, 2, 2]
    assert len(make_folds(recipe, rows)) == 4


def test_fewer_groups_than_folds_are_refused() -> None:
    recipe, rows = _prepare("number", count=12, options={"with_time": False, "with_group": True})
    (problem,) = list_fold_problems(recipe, rows)
    assert problem.startswith("the training rows have 3 groups, too few for 5 folds; use more rows or fewer folds")


def test_a_fold_that_keeps_no_row_to_fit_is_refused() -> None:
    """One customer has all rows: by time none is left."""
    recipe, rows = _prepare("number", options={"with_group": True})
    assert rows.groups is not None
    rows.groups[:] = 0
    first, second = list_fold_problems(recipe, rows)
    assert first.startswith(
        "the fitted rows of fold 1 of 2 (without 40 of groups that are validated): there are no rows"
    )
    assert second.startswith("the fitted rows of fold 2 of 2")


@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "f1"])
def test_rare_positives_that_miss_a_fold_are_refused_or_scored_otherwise(scoring: str) -> None:
    """Three of three thousand rows are true, all in the first fold's past."""
    recipe, rows = _prepare("binary", count=3_000, scoring=scoring)
    rows.labels[:] = 0
    rows.labels[[10, 20, 30]] = 1
    problems = list(list_fold_problems(recipe, rows))
    assert len(problems) == 2
    assert f"fold 1 of 2 validates on 1,000 rows, on whose labels {scoring} is not defined" in problems[0]
    other, _ = _prepare("binary", scoring="neg_brier_score")
    assert list(list_fold_problems(other, rows)) == []


def test_labels_of_rows_that_weigh_nothing_do_not_count() -> None:
    """All rows that are false weigh 0: what is fitted and scored has one label."""
    recipe, rows = _prepare("binary", split=Share(0.2), options={"with_time": False, "with_weight": True})
    assert rows.weights is not None
    rows.weights[:] = 1
    assert list(list_fold_problems(recipe, rows)) == []
    rows.weights[:] = rows.labels
    problems = list(list_fold_problems(recipe, rows))
    assert len(problems) == 5
    assert "the fitted rows of fold 1 of 5" in problems[0]


def test_random_folds_share_rare_positives_out() -> None:
    recipe, rows = _prepare("binary", count=5_000, split=Share(0.2), options={"with_time": False})
    rows.labels[:] = 0
    rows.labels[:5] = 1
    assert list(list_fold_problems(recipe, rows)) == []
    assert [int(rows.labels[fold.validated].sum()) for fold in make_folds(recipe, rows)] == [1] * 5


def test_too_few_rows_for_intervals_are_refused_before_the_search() -> None:
    recipe, rows = _prepare("number", count=12, options={"with_doubt": True, "with_time": False})
    assert recipe.coverage == 0.9
    (problem,) = list_fold_problems(recipe, rows)
    assert problem.startswith("intervals that hold 0.9 of the outcomes need 19 rows or more")
