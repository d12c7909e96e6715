"""The page, after Mitchell et al. 2019, "Model Cards for Model Reporting". Equal subjects give equal bytes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from athanor.contract.columns import Column, Role
from athanor.data.snapshots.snapshot import Snapshot
from athanor.features.features import Model
from athanor.pages import wording
from athanor.pages.rendering import render_page
from athanor.release.manifest import Calibration, Identity, Intervals, Provenance, Scalar, Sets, Temperature
from athanor.release.record import GateResult, TrainingRecord, Trial
from athanor.training.card.figures import Predicted, list_figures
from athanor.training.evaluation.evidence import Span

TRIALS: Final = 10
"""Number of best trials shown."""
_PATHS: Final = 10
_NOTEWORTHY: Final = (
    "scikit-learn",
    "lightgbm",
    "skl2onnx",
    "onnx",
    "onnxruntime",
    "numpy",
    "scipy",
    "pandas",
    "protobuf",
)


@dataclass(frozen=True)
class CardSubject:
    """What a card is about.

    Attributes:
        digest: of the release.
        snapshot: used for training and evaluation.
        predicted: for the held-out rows, by the graph and by the baseline.
        trained, evaluated: event times of the training rows and of the held-out rows; None if unknown.
    """

    model: Model
    identity: Identity
    digest: str
    provenance: Provenance
    record: TrainingRecord
    snapshot: Snapshot
    predicted: Predicted
    trained: Span | None = None
    evaluated: Span | None = None

    @property
    def is_later(self) -> bool:
        """Whether all held-out rows are known to be later than all training rows."""
        return self.trained is not None and self.evaluated is not None and self.evaluated.is_after(self.trained)


@dataclass(frozen=True)
class Verdict:
    """The outcome; `kind` is passed, refused or warning."""

    kind: str
    title: str
    text: str


def write_card(subject: CardSubject) -> bytes:
    """The page as UTF-8. Escapes all text, and shows invisible characters as escapes."""
    contract, record = subject.model.contract, subject.record
    page = render_page(
        "athanor.training.card",
        "card.html.jinja",
        {
            "doubt": _describe_doubt,
            "calibration": _describe_calibration,
            "mean": _mean,
            "numbers": _describe_numbers,
            "metric": _metric,
            "parameters": _parameters,
            "range": _range,
            "time": _time,
        },
        subject=subject,
        contract=contract,
        features=subject.model.features,
        record=record,
        snapshot=subject.snapshot,
        provenance=subject.provenance,
        verdicts=list(list_verdicts(subject)),
        failed=_failed(record),
        is_seen={column.name: Role.FEATURE in column.roles for column in contract.columns},
        metrics=subject.predicted.task.metrics,
        figures=list(list_figures(subject.predicted, _coverage(subject.identity))),
        trials=record.trials[:TRIALS],
        slices=[list(results) for _, results in groupby(record.slices, key=lambda result: result.slice)],
        libraries=_describe_libraries(subject.provenance),
    )
    return page.encode()


def list_verdicts(subject: CardSubject) -> Iterator[Verdict]:
    """Passed or refused by the gates; and a warning if no commit contains the code."""
    gates, failed = subject.record.gates, _failed(subject.record)
    asked = wording.plural(len(gates), "gate")
    if failed or subject.record.status == "refused":
        text = f"{len(failed)} of {asked} failed. This is not a release and must not be used."
        yield Verdict("refused", "Refused", text)
    elif not gates:
        yield Verdict("warning", "Not gated", "The recipe has no gates.")
    else:
        yield Verdict("passed", "Passed", f"{'It passed its gate' if len(gates) == 1 else f'It passed all {asked}'}.")
    if not subject.provenance.commit:
        yield Verdict("warning", "Made outside a repository", "No commit contains the code that made it.")
    elif not subject.provenance.is_clean:
        paths = subject.record.uncommitted
        others = " and others" if len(paths) > _PATHS else ""
        named = f" Changed were {', '.join(paths[:_PATHS])}{others}." if paths else ""
        text = f"Some of the code was not committed: the commit alone may give a different model.{named}"
        yield Verdict("warning", "Made from an unclean tree", text)


def _failed(record: TrainingRecord) -> list[GateResult]:
    return [gate for gate in record.gates if not gate.passed]


def _coverage(identity: Identity) -> float | None:
    """That its intervals promise."""
    return identity.doubt.coverage if isinstance(identity.doubt, Intervals) else None


def _describe_calibration(calibration: Calibration | Temperature | None) -> str:
    match calibration:
        case Calibration():
            return f"Platt scaling, slope {calibration.slope:.4f}, intercept {calibration.intercept:.4f}"
        case Temperature():
            return f"temperature {calibration.temperature:.4f}"
    return "none"


def _describe_doubt(doubt: Intervals | Sets | None) -> str:
    match doubt:
        case Intervals():
            return f"intervals for {wording.share(doubt.coverage)}, in {wording.plural(len(doubt.lower), 'bin')}"
        case Sets():
            return f"sets for {wording.share(doubt.coverage)} of each category"
    return "none"


def _describe_numbers(numbers: Mapping[str, float]) -> str:
    """What is told of labels, in one line: rate 0.2301."""
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()) or wording.NONE


def _describe_libraries(provenance: Provenance) -> str:
    """Libraries that can change a prediction, with their versions."""
    versions = provenance.libraries
    return ", ".join(f"{name} {versions[name]}" for name in _NOTEWORTHY if name in versions)


def _time(text: str) -> str:
    """ISO 8601 in UTC, to the second: 2013-01-01 10:15:00 UTC. Leaves other text unchanged."""
    return re.sub(r"^([\d-]{10})T([\d:]{8})(\.\d+)?(Z|\+00:00)$", r"\1 \2 UTC", text)


def _metric(value: float | None) -> str:
    return wording.NONE if value is None else f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _mean(trial: Trial) -> str:
    """Mean score; a dash unless all scores are numbers."""
    scores = [score for score in trial.scores if score is not None]
    return _metric(sum(scores) / len(scores) if scores and len(scores) == len(trial.scores) else None)


def _parameters(parameters: Mapping[str, Scalar]) -> str:
    """Formats parameters without the names of pipeline steps."""
    shown = (f"{name.rpartition('__')[2]} {value}" for name, value in parameters.items())
    return ", ".join(shown) or "none"


def _range(column: Column) -> str:
    """Allowed values, without the unit, which has its own cell."""
    return column.allowed.removesuffix(f" {column.unit}") if column.unit else column.allowed
