"""The fit of one trial on one fold, with its outputs cached in a file, so that a search can resume."""

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
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from athanor.release.manifest import Scalar
from athanor.system.atomic import replace_file
from athanor.tasks.task import Task
from athanor.training.search.failures import naming
from athanor.training.search.weights import weight_fit

ENDING: Final = ".npz"
PREFIX: Final = "pipeline__"
"""Prefix of a pipeline's parameters among those of `CachedPipeline`."""


@dataclass(frozen=True)
class FoldOutputs:
    """A trial's outputs for the validated rows of a fold.

    Attributes:
        outputs: see `Task.outputs`; shape (n, k).
        fit_s: duration of the fit in seconds.
    """

    outputs: NDArray[np.float64]
    score: float
    fit_s: float

    def write(self, path: Path) -> None:
        content = io.BytesIO()
        np.savez(content, outputs=self.outputs, score=self.score, fit_s=self.fit_s)
        replace_file(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> "FoldOutputs":
        with np.load(path) as kept:
            return cls(kept["outputs"], float(kept["score"]), float(kept["fit_s"]))


def to_scalars(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    """Parameters as JSON scalars: converts numpy's numbers to Python's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}


def trial_name(algorithm: str, parameters: Mapping[str, Scalar]) -> str:
    """The prefix of a trial's file names."""
    return hashlib.sha256(json.dumps([algorithm, dict(parameters)], sort_keys=True).encode()).hexdigest()[:16]


def cache_file(folder: Path, trial: str, fitted: Any, validated: Any) -> Path:
    """The file of a trial's outputs for a fold.

    Args:
        trial: its name.
        fitted, validated: positions of the fold's rows, which identify it.
    """
    digest = hashlib.sha256()
    for positions in (fitted, validated):
        digest.update(len(positions).to_bytes(8, "little"))
        digest.update(np.asarray(positions, dtype="<i8").tobytes())
    return folder / f"{trial}-{digest.hexdigest()[:16]}{ENDING}"


def name_trial(algorithm: str, parameters: Mapping[str, Any]) -> str:
    """Names a trial in a message."""
    return f"candidate {algorithm!r}" + (f" with {to_scalars(parameters)}" if parameters else "")


class CachedPipeline(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A pipeline for scikit-learn's search. `CachedScore` fits it, as it knows the fold's other rows as well."""

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

    def fit(self, frame: Any, labels: NDArray[Any], sample_weight: NDArray[np.float64] | None = None) -> Any:
        self.rows_ = frame, labels, sample_weight
        return self

    @property
    def who(self) -> str:
        """Names the trial in a message."""
        return name_trial(self.algorithm, self.tried_)

    @property
    def name(self) -> str:
        return trial_name(self.algorithm, to_scalars(self.tried_))


@dataclass(frozen=True)
class CachedScore:
    """Fits and scores a `CachedPipeline`, and caches the outputs in its folder. Does neither if they are there.

    Each fit uses one thread: estimators' threads spin while they wait for each other, and sums in a different order
    would give a different model. The index of a frame is what identifies its rows.
    """

    task: Task
    scoring: str

    def __call__(
        self, kept: CachedPipeline, frame: Any, labels: NDArray[Any], sample_weight: NDArray[np.float64] | None = None
    ) -> float:
        fitted, of_fitted, weights = kept.rows_
        path = cache_file(kept.folder, kept.name, fitted.index, frame.index)
        if path.exists():
            return FoldOutputs.read(path).score
        began = time.monotonic()
        with threadpool_limits(1), naming(kept.who, "be fitted", fitted, of_fitted):
            kept.pipeline.fit(fitted, of_fitted, **weight_fit(kept.pipeline, weights))
        fit_s = time.monotonic() - began
        with threadpool_limits(1), naming(kept.who, "predict the validated rows of a fold", frame):
            outputs = self.task.outputs(kept.pipeline, frame)
        with naming(kept.who, f"be scored by {self.scoring}", frame, labels):
            score = self.task.score(self.scoring, labels, outputs, sample_weight)
        FoldOutputs(outputs, score, fit_s).write(path)
        return score
