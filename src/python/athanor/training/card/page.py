"""The page, after Mitchell et al. 2019, "Model Cards for Model Reporting". The same subject is the same bytes."""

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
from athanor.training.evaluation.metrics import GREATER_IS_BETTER

TRIALS: Final = 10
"""So many trials are shown, the best ones."""
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
        snapshot: that it was trained and evaluated on.
        labels, probabilities, baseline: of the n rows of the evaluation, and what the graph and the baseline answered;
            shape (n,).
        importance: average precision that is lost when a feature is shuffled, by feature, largest first.
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


@dataclass(frozen=True)
class Verdict:
    """How it ended: `kind` is passed, refused or warning."""

    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Figure:
    """A chart, "" where there is nothing to draw, and what it shows."""

    title: str
    chart: str
    text: str


def write_card(subject: CardSubject) -> bytes:
    """The page as UTF-8. All text is escaped, and characters that cannot be seen are shown as escapes."""
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
    """Refused where a gate said no; and a warning where no commit holds what the model was made from."""
    gates, failed = subject.record.gates, _failed(subject.record)
    asked = wording.plural(len(gates), "gate")
    if failed or subject.record.status == "refused":
        text = f"{len(failed)} of {asked} said no. This is no release and must not be used."
        yield Verdict("refused", "Refused", text)
    elif not gates:
        yield Verdict("warning", "Not judged", "No gate was asked.")
    else:
        yield Verdict("passed", "Passed", f"{'It passed its gate' if len(gates) == 1 else f'It passed all {asked}'}.")
    if not subject.provenance.commit:
        yield Verdict("warning", "Made outside a repository", "No commit holds the code that made it.")
    elif not subject.provenance.is_clean:
        text = "Some of the code that made it was in no commit: the commit alone may give another model."
        yield Verdict("warning", "Made from an unclean tree", text)


def _failed(record: TrainingRecord) -> list[GateResult]:
    return [gate for gate in record.gates if not gate.passed]


def _list_figures(subject: CardSubject) -> Iterator[Figure]:
    answers = charts.Answers(subject.labels, subject.probabilities, subject.baseline)
    yield Figure(
        "ROC curve",
        charts.draw_roc(answers),
        "What share of the rows with the label is found, for what share of the others called wrongly.",
    )
    yield Figure(
        "Precision and recall",
        charts.draw_precision_recall(answers),
        "What share of the called rows has the label, for what share of the rows with the label that is found.",
    )
    yield Figure(
        "Calibration",
        charts.draw_calibration(answers),
        "How often came true what was promised: on the dotted line just as often. Where few rows are, chance rules.",
    )
    yield Figure("Importance of features", charts.draw_importance(subject.importance), _describe_importance(subject))


def _describe_importance(subject: CardSubject) -> str:
    rest = list(subject.importance.values())[charts.IMPORTANT :]
    told = "Average precision that is lost when a feature is shuffled among rows. Features that tell the same share it."
    if not rest:
        return told
    return f"{told} {wording.plural(len(rest), 'other')} lose {_metric(max(rest))} at most."


def _describe_libraries(provenance: Provenance) -> str:
    """Those that can change an answer, with their versions."""
    versions = provenance.libraries
    return ", ".join(f"{name} {versions[name]}" for name in _NOTEWORTHY if name in versions)


def _time(text: str) -> str:
    """ISO 8601 in UTC, to the second: 2013-01-01 10:15:00 UTC. Anything else stays as it is."""
    return re.sub(r"^([\d-]{10})T([\d:]{8})(\.\d+)?(Z|\+00:00)$", r"\1 \2 UTC", text)


def _metric(value: float | None) -> str:
    return wording.NONE if value is None else f"{value:.4f}".replace("-", "\N{MINUS SIGN}")


def _metric_name(name: str) -> str:
    return _METRICS.get(name, name)


def _mean(trial: Trial) -> str:
    """Of its scores; a dash unless all are numbers."""
    scores = [score for score in trial.scores if score is not None]
    return _metric(sum(scores) / len(scores) if scores and len(scores) == len(trial.scores) else None)


def _parameters(parameters: Mapping[str, Scalar]) -> str:
    """Without the names of the steps that they belong to."""
    shown = (f"{name.rpartition('__')[2]} {value}" for name, value in parameters.items())
    return ", ".join(shown) or "none"


def _range(column: Column) -> str:
    """What a value may be, without the unit, which has a cell of its own."""
    return column.allowed.removesuffix(f" {column.unit}") if column.unit else column.allowed
