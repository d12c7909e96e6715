"""The folds of a search, which follow the recipe's split, and whether their labels allow one."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from athanor.errors import DataError
from athanor.training.evaluation.evidence import Rows
from athanor.training.recipe import Recipe

_REMEDY: Final = "use more rows or fewer folds, or hold out fewer rows"


@dataclass(frozen=True)
class Fold:
    """Positions of rows, ascending.

    Attributes:
        fitted, validated: no row, and no group, is in both.
        left_out: number of earlier rows that are not fitted, because their group is validated.
    """

    fitted: NDArray[np.int64]
    validated: NDArray[np.int64]
    left_out: int = 0


def make_folds(recipe: Recipe, rows: Rows) -> tuple[Fold, ...]:
    """Folds that validate on rows after all fitted ones if the split is by time, on random ones otherwise.

    Random folds have the categories of the label in proportion. No group is on both sides of a fold.

    Args:
        rows: the training rows, in time order if the split is by time; more than folds, and as many groups.
    """
    if recipe.split.is_by_time:
        pairs = TimeSeriesSplit(recipe.folds).split(rows.labels)
        return tuple(_leave_out(fitted, validated, rows.groups) for fitted, validated in pairs)
    strata = recipe.task.strata(rows.labels)
    with warnings.catch_warnings():
        # A category with fewer rows than folds: whether each fold can be scored is checked.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        drawn = _draw(recipe, rows.labels, strata, rows.groups)
        return tuple(Fold(np.asarray(fitted), np.asarray(validated)) for fitted, validated in drawn)


def _leave_out(fitted: NDArray[Any], validated: NDArray[Any], groups: NDArray[np.int64] | None) -> Fold:
    if groups is None:
        return Fold(fitted, validated)
    kept = fitted[~np.isin(groups[fitted], groups[validated])]
    return Fold(kept, validated, len(fitted) - len(kept))


def _draw(
    recipe: Recipe, labels: NDArray[Any], strata: NDArray[Any] | None, groups: NDArray[np.int64] | None
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    shuffled: dict[str, Any] = {"n_splits": recipe.folds, "shuffle": True, "random_state": recipe.seed}
    # Stratified folds need a category with a row for each.
    if strata is not None and np.unique(strata, return_counts=True)[1].max() < recipe.folds:
        strata = None
    if groups is not None:
        by_group = GroupKFold(**shuffled) if strata is None else StratifiedGroupKFold(**shuffled)
        return iter(by_group.split(labels, strata, groups))
    return iter((KFold(**shuffled) if strata is None else StratifiedKFold(**shuffled)).split(labels, strata))


def list_fold_problems(recipe: Recipe, rows: Rows) -> Iterator[str]:
    """Why the folds cannot be fitted and scored; nothing if they can.

    Args:
        rows: the training rows, in time order if the split is by time.
    """
    if len(rows) <= recipe.folds:
        yield (
            f"the {len(rows)} training rows are too few for {recipe.folds} folds, which need at least "
            f"{recipe.folds + 1}; {_REMEDY}"
        )
        return
    if rows.groups is not None and not recipe.split.is_by_time and (found := rows.groups.max() + 1) < recipe.folds:
        yield f"the training rows have {found} groups, too few for {recipe.folds} folds; {_REMEDY}"
        return
    folds = make_folds(recipe, rows)
    for number, fold in enumerate(folds, start=1):
        yield from _list_problems(recipe, rows, fold, f"fold {number} of {recipe.folds}")
    if recipe.coverage is not None:
        yield from _list_doubt_problems(recipe, [rows.labels[fold.validated] for fold in folds], recipe.coverage)


def _list_problems(recipe: Recipe, rows: Rows, fold: Fold, name: str) -> Iterator[str]:
    fitted, validated = (_counted_labels(rows, positions) for positions in (fold.fitted, fold.validated))
    left_out = f" (without {fold.left_out:,} of groups that are validated)" if fold.left_out else ""
    if problems := recipe.task.list_label_problems(fitted, f"the fitted rows of {name}{left_out}"):
        yield from (f"{problem}; {_REMEDY}" for problem in problems)
    elif not _is_defined(recipe, validated):
        yield (
            f"{name} validates on {len(validated):,} rows, on whose labels {recipe.scoring} is not defined; {_REMEDY}, "
            "or another `scoring`"
        )


def _counted_labels(rows: Rows, positions: NDArray[np.int64]) -> NDArray[Any]:
    """Labels at these positions, but for rows of weight 0: no fit and no score sees them."""
    return rows.labels[positions if rows.weights is None else positions[rows.weights[positions] > 0]]


def _list_doubt_problems(recipe: Recipe, validated: Sequence[NDArray[Any]], coverage: float) -> Iterator[str]:
    task = recipe.task
    try:
        task.find_doubt([(labels, task.perfect_outputs(labels)) for labels in validated], coverage)
    except DataError as error:
        yield str(error)


def _is_defined(recipe: Recipe, labels: NDArray[Any]) -> bool:
    """Whether a perfect model has a score."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            score = recipe.task.score(recipe.scoring, labels, recipe.task.perfect_outputs(labels))
    except (ValueError, Warning):
        return False
    return bool(np.isfinite(score))
