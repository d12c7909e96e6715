"""The page, after Mitchell et al. 2019, "Model Cards for Model Reporting". Equal subjects give equal bytes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Role
from athanor.data.snapshots.snapshot import Snapshot
from athanor.features.features import Model
from athanor.pages import wording
from athanor.pages.rendering import render_page
from athanor.release.manifest import Identity, Provenance, Scalar
from athanor.release.record import GateResult, TrainingRecord, Trial
from athanor.training.card import charts
from athanor.training.evaluation.evidence import Span
from athanor.training.evaluation.metrics import GREATER_IS_BETTER

TRIALS: Final = 10
"""Number of best trials shown."""
_PATHS: Final = 10
_NOTEWORTHY: Final = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime", "numpy", "scipy", "pandas", "protobuf")
_METRICS: Final = {
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "brier_score": "Brier score",
    "log_loss": "Log loss",
}


@dataclass(frozen=True)
class CardSubject:
    """What a card is about.

    Attributes:
        digest: of the release.
        snapshot: used for training and evaluation.
        labels, probabilities, baseline: labels of the n held-out rows, and the predictions of the graph and of the
            baseline; shape (n,).
        importance: loss of average precision when a column is shuffled, by column, descending.
        trained, evaluated: event times of the training rows and of the held-out rows; None if unknown.
    """

    model: Model
    identity: Identity
    digest: str
    provenance: Provenance
    record: TrainingRecord
    snapshot: Snapshot
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    baseline: NDArray[np.float64]
    importance: Mapping[str, float]
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


@dataclass(frozen=True)
class Figure:
    """A chart, "" if there is nothing to draw, and its caption."""

    title: str
    chart: str
    text: str


def write_card(subject: CardSubject) -> bytes:
    """The page as UTF-8. Escapes all text, and shows invisible characters as escapes."""
    contract, record = subject.model.contract, subject.record
    page = render_page(
        "athanor.training.card",
        "card.html.jinja",
        {
            "mean": _mean,
            "metric": _metric,
            "metric_name": _metric_name,
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
        better={name: "higher" if is_so else "lower" for name, is_so in GREATER_IS_BETTER.items()},
        figures=list(_list_figures(subject)),
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


def _list_figures(subject: CardSubject) -> Iterator[Figure]:
    answers = charts.Answers(subject.labels, subject.probabilities, subject.baseline)
    yield Figure(
        "ROC curve",
        charts.draw_roc(answers),
        "Share of positive rows found, against the share of negative rows wrongly flagged.",
    )
    yield Figure(
        "Precision and recall",
        charts.draw_precision_recall(answers),
        "Share of flagged rows that are positive, against the share of positive rows found.",
    )
    yield Figure(
        "Calibration",
        charts.draw_calibration(answers),
        "Observed rate against predicted probability; on the dotted line they agree. Bins with few rows are noisy.",
    )
    yield Figure("Importance of columns", charts.draw_importance(subject.importance), _describe_importance(subject))


def _describe_importance(subject: CardSubject) -> str:
    rest = list(subject.importance.values())[charts.IMPORTANT :]
    caption = "Loss of average precision when a column is shuffled among rows. Correlated columns share it."
    if not rest:
        return caption
    return f"{caption} {wording.plural(len(rest), 'other')} lose at most {_metric(max(rest))}."


def _describe_libraries(provenance: Provenance) -> str:
    """Libraries that can change a prediction, with their versions."""
    versions = provenance.libraries
    return ", ".join(f"{name} {versions[name]}" for name in _NOTEWORTHY if name in versions)


def _time(text: str) -> str:
    """ISO 8601 in UTC, to the second: 2013-01-01 10:15:00 UTC. Leaves other text unchanged."""
    return re.sub(r"^([\d-]{10})T([\d:]{8})(\.\d+)?(Z|\+00:00)$", r"\1 \2 UTC", text)


def _metric(value: float | None) -> str:
    return wording.NONE if value is None else f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _metric_name(name: str) -> str:
    return _METRICS.get(name, name)


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
