"""The folds of a search, in time order, and whether their labels allow one."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer
from sklearn.model_selection import TimeSeriesSplit

from athanor.contract.columns import Columns
from athanor.errors import DataError
from athanor.training.recipe import Recipe
from athanor.training.search.trial import Precomputed

_REMEDY: Final = "use more rows before test_from, or fewer folds"


def make_folds(recipe: Recipe) -> TimeSeriesSplit:
    """Folds that validate on rows after all fitted ones."""
    return TimeSeriesSplit(recipe.folds)


def list_fold_problems(recipe: Recipe, labels: NDArray[np.int64]) -> Iterator[str]:
    """Why the folds cannot be fitted and scored; nothing if they can.

    Args:
        labels: of the training rows, in time order; both occur.
    """
    if len(labels) <= recipe.folds:
        yield (
            f"the {len(labels)} rows before test_from are too few for {recipe.folds} folds, which need at least "
            f"{recipe.folds + 1}; {_REMEDY}"
        )
        return
    for number, (fitted, validated) in enumerate(make_folds(recipe).split(labels), start=1):
        fold = f"fold {number} of {recipe.folds}"
        if len(only := np.unique(labels[fitted])) < 2:
            other = 1 - int(only[0])
            yield (
                f"{fold} fits on the first {len(fitted):,} rows, and all have the label {only[0]}: the label {other} "
                f"first occurs in row {int(np.argmax(labels == other)) + 1:,}; {_REMEDY}"
            )
        elif len(only := np.unique(labels[validated])) < 2 and not _is_defined(recipe.scoring, labels[validated]):
            yield (
                f"{fold} validates on {len(validated):,} rows, and all have the label {only[0]}: {recipe.scoring} is "
                f"not defined there; {_REMEDY}, or another `scoring`, such as neg_brier_score"
            )


def require_both_labels(recipe: Recipe, columns: Columns, parts: Mapping[str, NDArray[np.bool_]]) -> None:
    """Refuses parts of the split without rows, or with one label.

    Args:
        parts: masks of rows, by "before" or "from".

    Raises:
        DataError: naming all such parts.
    """
    labels = columns[recipe.model.contract.label.name]
    problems = [
        f"{rows.sum():,} rows {part} {recipe.test_from.isoformat()} have {len(found)} different labels"
        for part, rows in parts.items()
        if len(found := np.unique(labels[rows])) < 2
    ]
    if problems:
        times = columns[recipe.model.contract.event_time.name]
        extent = f" of {times.min()} to {times.max()} UTC" if len(times) else ""
        raise DataError(
            f"{'; '.join(problems)}; each part needs 2. Choose another test_from for the {len(times):,} rows{extent}, "
            "or use more data"
        )


def _is_defined(scoring: str, labels: NDArray[np.int64]) -> bool:
    """Whether a perfect model has a score."""
    positive = 0.1 + 0.8 * labels
    perfect = Precomputed(np.array([0, 1]), np.column_stack([1 - positive, positive]))
    unused: Any = np.zeros((len(labels), 1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return bool(np.isfinite(get_scorer(scoring)(perfect, unused, labels)))
    except (ValueError, Warning):
        return False
