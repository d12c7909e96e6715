"""The record of a training: what was tried, how good it is, and what the gates said. `training.json` of a release.

Training writes it and the registry remembers it: they meet here and know nothing of each other.
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
        scores: one for each fold; None where it is no number.
        fit_s: seconds that the fits of all folds took together.
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
    """How good a model is on the rows of one slice.

    Attributes:
        slice: what rows are told apart by: "carrier".
        value: that of these rows: "UA".
        metrics: by name; None where only one label occurs.
    """

    slice: str
    value: str
    rows: int
    label_rate: float
    metrics: Mapping[str, float | None]


class GateResult(_Frozen):
    """What a gate saw.

    Attributes:
        gate: its name, stable, for people and machines: "floor of roc_auc".
        value: what it measured; None where there was nothing to measure.
        wanted: what was wanted, in words: "at least 0.66".
        explanation: in one sentence what it saw; names the slice, row or change that decided.
    """

    gate: str
    passed: bool
    value: float | None
    wanted: str
    explanation: str


class TrainingRecord(_Frozen):
    """All that a training saw.

    Attributes:
        status: `passed`; `refused` where a gate said no; `tuned` where only a search was asked for.
        scoring: the score that the search maximised.
        trials: best first. The first one made the release.
        rows_trained, rows_evaluated: how many rows.
        label_rate: of the rows of the evaluation.
        metrics, baseline: on the rows of the evaluation, by name.
        seconds: how long each step took, by name.
    """

    model: str
    status: Literal["passed", "refused", "tuned"]
    scoring: str
    trials: tuple[Trial, ...]
    rows_trained: int = 0
    rows_evaluated: int = 0
    label_rate: float = 0.0
    metrics: Mapping[str, Estimate] = {}
    baseline: Mapping[str, Estimate] = {}
    slices: tuple[SliceResult, ...] = ()
    gates: tuple[GateResult, ...] = ()
    seconds: Mapping[str, float] = {}
