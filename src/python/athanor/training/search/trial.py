"""One fit of one trial on one fold, of which the answers are kept: what was interrupted goes on from there."""

import hashlib
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from threadpoolctl import threadpool_limits

from athanor.release.manifest import Scalar
from athanor.system.atomic import replace_file

ENDING: Final = ".npz"
PREFIX: Final = "pipeline__"
"""Of a pipeline's parameters among those of `CachedPipeline`."""


@dataclass(frozen=True)
class FoldPredictions:
    """What a trial answered for the rows of a fold, which are later than those it was fitted on.

    Attributes:
        fitted: on how many rows.
        probabilities: shape (n,).
        fit_s: seconds that the fit took.
    """

    fitted: int
    probabilities: NDArray[np.float64]
    score: float
    fit_s: float

    def write(self, path: Path) -> None:
        content = io.BytesIO()
        np.savez(content, fitted=self.fitted, probabilities=self.probabilities, score=self.score, fit_s=self.fit_s)
        replace_file(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> "FoldPredictions":
        with np.load(path) as kept:
            return cls(int(kept["fitted"]), kept["probabilities"], float(kept["score"]), float(kept["fit_s"]))


def to_scalars(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    """Parameters as JSON has them: numbers of numpy become Python's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}


def trial_name(algorithm: str, parameters: Mapping[str, Scalar]) -> str:
    """How the files of a trial begin."""
    return hashlib.sha256(json.dumps([algorithm, dict(parameters)], sort_keys=True).encode()).hexdigest()[:16]


class CachedPipeline(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A pipeline for scikit-learn's search, whose answers for each fold are kept in a folder.

    Where they are kept already it is not fitted again. Each fit has one thread: estimators' own threads wait for each
    other by spinning, and sums in another order would give another model.
    """

    def __init__(self, folder: Path, algorithm: str = "", pipeline: Any = None) -> None:
        self.folder = folder
        self.algorithm = algorithm
        self.pipeline = pipeline

    def set_params(self, **parameters: Any) -> "CachedPipeline":
        self.tried_ = {
            name.removeprefix(PREFIX): value for name, value in parameters.items() if name.startswith(PREFIX)
        }
        super().set_params(**parameters)
        return self

    def fit(self, frame: Any, labels: NDArray[Any]) -> "CachedPipeline":
        self.classes_ = np.unique(labels)
        self.fitted_ = len(labels)
        began = time.monotonic()
        if not self.path.exists():
            with threadpool_limits(1):
                self.pipeline.fit(frame, labels)
        self.fit_s_ = time.monotonic() - began
        return self

    @property
    def path(self) -> Path:
        """Where the answers are kept. Folds differ in how many rows they fit."""
        return self.folder / f"{trial_name(self.algorithm, to_scalars(self.tried_))}-{self.fitted_}{ENDING}"


@dataclass(frozen=True)
class CachedScore:
    """The scorer of `CachedPipeline`: one of scikit-learn's, by its name."""

    scoring: str

    def __call__(self, kept: CachedPipeline, frame: Any, labels: NDArray[Any]) -> float:
        if kept.path.exists():
            return FoldPredictions.read(kept.path).score
        with threadpool_limits(1):
            probabilities = kept.pipeline.predict_proba(frame)
        score = float(get_scorer(self.scoring)(_Precomputed(kept.classes_, probabilities), frame, labels))
        FoldPredictions(kept.fitted_, probabilities[:, 1], score, kept.fit_s_).write(kept.path)
        return score


class _Precomputed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gives a scorer what was answered already."""

    def __init__(self, classes: NDArray[Any], probabilities: NDArray[np.float64]) -> None:
        self.classes_ = classes
        self._probabilities = probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        return self._probabilities

    def predict(self, frame: Any) -> NDArray[Any]:
        return np.asarray(self.classes_[self._probabilities.argmax(axis=1)])
