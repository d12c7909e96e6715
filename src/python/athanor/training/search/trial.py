"""The fit of one trial on one fold, with its predictions cached in a file, so that a search can resume."""

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
from athanor.training.search.failures import naming

ENDING: Final = ".npz"
PREFIX: Final = "pipeline__"
"""Prefix of a pipeline's parameters among those of `CachedPipeline`."""


@dataclass(frozen=True)
class FoldPredictions:
    """A trial's predictions for the validation rows of a fold.

    Attributes:
        fitted: number of rows fitted on.
        probabilities: shape (n,).
        fit_s: duration of the fit in seconds.
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
    """Parameters as JSON scalars: converts numpy's numbers to Python's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}


def trial_name(algorithm: str, parameters: Mapping[str, Scalar]) -> str:
    """The prefix of a trial's file names."""
    return hashlib.sha256(json.dumps([algorithm, dict(parameters)], sort_keys=True).encode()).hexdigest()[:16]


def name_trial(algorithm: str, parameters: Mapping[str, Any]) -> str:
    """Names a trial in a message."""
    return f"candidate {algorithm!r}" + (f" with {to_scalars(parameters)}" if parameters else "")


def require_probabilities(probabilities: Any) -> NDArray[np.float64]:
    """The probabilities of both labels.

    Raises:
        ValueError: they have another shape than (n, 2), or one of them is NaN or infinite.
    """
    found = np.asarray(probabilities, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 2:
        raise ValueError(f"its probabilities have the shape {found.shape}; allowed is (n, 2), one column per label")
    if wrong := int((~np.isfinite(found).all(axis=1)).sum()):
        raise ValueError(f"{wrong} of {len(found)} probabilities are NaN or infinite")
    return found


class CachedPipeline(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A pipeline for scikit-learn's search that caches its predictions for each fold in a folder.

    Skips the fit if they are cached. Each fit uses one thread: estimators' threads spin while they wait for each other,
    and sums in a different order would give a different model.
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
            with threadpool_limits(1), naming(self.who, "be fitted", frame, labels):
                self.pipeline.fit(frame, labels)
        self.fit_s_ = time.monotonic() - began
        return self

    @property
    def who(self) -> str:
        """Names the trial in a message."""
        return name_trial(self.algorithm, self.tried_)

    @property
    def path(self) -> Path:
        """The cache file. The number of fitted rows identifies the fold."""
        return self.folder / f"{trial_name(self.algorithm, to_scalars(self.tried_))}-{self.fitted_}{ENDING}"


@dataclass(frozen=True)
class CachedScore:
    """Scores a `CachedPipeline` by one of scikit-learn's scorers, given by name."""

    scoring: str

    def __call__(self, kept: CachedPipeline, frame: Any, labels: NDArray[Any]) -> float:
        if kept.path.exists():
            return FoldPredictions.read(kept.path).score
        with threadpool_limits(1), naming(kept.who, "predict the rows of a later fold", frame):
            probabilities = require_probabilities(kept.pipeline.predict_proba(frame))
        with naming(kept.who, f"be scored by {self.scoring}", frame, labels):
            score = float(get_scorer(self.scoring)(Precomputed(kept.classes_, probabilities), frame, labels))
        FoldPredictions(kept.fitted_, probabilities[:, 1], score, kept.fit_s_).write(kept.path)
        return score


class Precomputed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Passes precomputed predictions to a scorer."""

    def __init__(self, classes: NDArray[Any], probabilities: NDArray[np.float64]) -> None:
        self.classes_ = classes
        self._probabilities = probabilities

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        return self._probabilities

    def predict(self, frame: Any) -> NDArray[Any]:
        return np.asarray(self.classes_[self._probabilities.argmax(axis=1)])
