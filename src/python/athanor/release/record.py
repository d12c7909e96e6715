"""The record of a training: its trials, metrics and gates. `training.json` of a release.

Training writes it and the registry keeps it: neither depends on the other.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from athanor.release.manifest import Scalar


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Trial(_Frozen):
    """A candidate with one set of parameters.

    Attributes:
        scores: one per fold; None where the score is not finite.
        fit_s: total duration of the fits of all folds, in seconds.
    """

    algorithm: str
    parameters: Mapping[str, Scalar]
    scores: tuple[float | None, ...]
    fit_s: float


class Estimate(_Frozen):
    """A metric with its 95 % interval, from a bootstrap over the rows of the evaluation."""

    value: float
    low: float
    high: float


class SliceResult(_Frozen):
    """Metrics of a model on the rows of one slice.

    Attributes:
        slice: name of the slice: "carrier".
        value: its value in these rows: "UA".
        label: figures of the labels of these rows, by what they are: {"rate": 0.2}.
        metrics: by name; None where these rows do not define it.
    """

    slice: str
    value: str
    rows: int
    label: Mapping[str, float]
    metrics: Mapping[str, float | None]


class GateResult(_Frozen):
    """Outcome of a gate.

    Attributes:
        gate: its stable name: "floor of roc_auc".
        value: the measured value; None if there was nothing to measure.
        wanted: the requirement, in words: "at least 0.66".
        explanation: one sentence on the outcome; names the slice, row or change that decided it.
    """

    gate: str
    passed: bool
    value: float | None
    wanted: str
    explanation: str


class TrainingRecord(_Frozen):
    """Everything recorded of a training.

    Attributes:
        status: `passed`; `refused` if a gate failed; `tuned` for a search alone.
        scoring: name of the score that the search maximised.
        trials: best first. The first made the release.
        rows_trained, rows_evaluated: numbers of rows.
        label: figures of the labels in the evaluation, by what they are: {"mean": 4201.8, "median": 4050.0}.
        metrics, baseline: metrics of model and baseline on the evaluation's rows, by name.
        seconds: duration of each step, by name.
        uncommitted: paths in the repository that had changes which were not committed.
    """

    model: str
    status: Literal["passed", "refused", "tuned"]
    scoring: str
    trials: tuple[Trial, ...]
    rows_trained: int = 0
    rows_evaluated: int = 0
    label: Mapping[str, float] = {}
    metrics: Mapping[str, Estimate] = {}
    baseline: Mapping[str, Estimate] = {}
    slices: tuple[SliceResult, ...] = ()
    gates: tuple[GateResult, ...] = ()
    seconds: Mapping[str, float] = {}
    uncommitted: tuple[str, ...] = ()
