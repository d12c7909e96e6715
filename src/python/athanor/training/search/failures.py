"""Words for what an estimator of a recipe raises: which one, on which rows, why, and the remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.errors import AthanorError, ContractError

_LONGEST: Final = 300
# By a part of the message, in lower case; the first that occurs counts.
_REMEDIES: Final = (
    ("predict_proba", "use a classifier that has it, or wrap it in CalibratedClassifierCV"),
    ("unknown categor", 'let the encoder accept values that it has not seen: OneHotEncoder(handle_unknown="ignore")'),
    ("n_splits", "lower the `cv` of the encoder or of the estimator, or use more rows of the rarer label"),
    ("n_neighbors", "lower n_neighbors, or use more rows"),
    ("number of categories", "group rare values in the features, or encode them by TargetEncoder"),
    ("cardinality", "group rare values in the features, or encode them by TargetEncoder"),
    ("contains nan", "add a SimpleImputer, or use an estimator that accepts missing values"),
    ("is nan", "add a SimpleImputer, or use an estimator that accepts missing values"),
    ("at least 2 classes", "use more rows, or fewer folds"),
    ("converge", "scale the features, raise max_iter, or use another estimator"),
    ("sample_weight", "use an estimator that takes sample_weight, or remove ROLE_WEIGHT from the contract"),
    ("parameter", "correct the candidate's space"),
)  # fmt: skip
_EMPTY_REMEDY: Final = "remove these features, use more rows, or impute them by SimpleImputer(keep_empty_features=True)"


@contextmanager
def naming(who: str, what: str, frame: Any, labels: NDArray[Any] | None = None, remedy: str = "") -> Iterator[None]:
    """Turns any error of an estimator within the context into a ContractError that names the estimator and the step.

    A ContractError keeps its own words behind these.

    Args:
        who: "candidate 'forest' with {…}".
        what: "be fitted".
        frame: the rows it was given.
        remedy: the one to name unless the message of the error suggests another.
    """
    try:
        yield
    except ContractError as error:
        # It has its own remedy.
        raise ContractError(f"{who} cannot {what}: {error}") from error
    except AthanorError:
        raise
    except Exception as error:
        text = f"{who} cannot {what}: {describe_error(error)}; it was given {describe_rows(frame, labels)}"
        raise ContractError(f"{text}. {_find_remedy(error, frame, remedy)}") from error


def describe_error(error: BaseException) -> str:
    """The class of an error and the first line of its message."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    short = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    return f"{type(error).__name__}: {short}".rstrip(": .")


def describe_rows(frame: Any, labels: NDArray[Any] | None = None) -> str:
    """Number of rows, how many have the rarest category of the label, and the features without a value in them."""
    words = f"{len(frame):,} rows"
    if labels is not None and labels.dtype.kind == "i" and len(labels):
        words += f", {np.unique(labels, return_counts=True)[1].min():,} of them with the rarest label"
    empty = find_empty(frame)
    return f"{words}, none of them with a value of {', '.join(empty)}" if empty else words


def find_empty(frame: Any) -> list[str]:
    """Features that are missing in all rows: NaN, or the empty text."""
    is_missing = frame.isna() | frame.eq("")
    return [str(name) for name in frame.columns[is_missing.all().to_numpy()]]


def _find_remedy(error: Exception, frame: Any, remedy: str) -> str:
    otherwise = _EMPTY_REMEDY if find_empty(frame) else remedy or "correct it in the recipe, or use another estimator"
    message = str(error).lower()
    found = next((remedy for part, remedy in _REMEDIES if part in message), otherwise)
    return found[0].upper() + found[1:]
