"""Subjects of model cards, with random predictions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from support.releases import PROVENANCE, make_files, make_identity, make_record

from athanor.contract.columns import Columns
from athanor.data.snapshots.snapshot import Snapshot
from athanor.release.record import GateResult
from athanor.tasks.tasks import task_of
from athanor.training.card.figures import Predicted
from athanor.training.card.page import CardSubject
from athanor.training.evaluation.evidence import Span
from projects.delays.model import MODEL

PASSED: Final = GateResult(
    gate="floor of roc_auc", passed=True, value=0.75, wanted="at least 0.66", explanation="roc_auc is 0.75"
)
FAILED: Final = GateResult(
    gate="latency", passed=False, value=61.5, wanted="at most 5 ms", explanation="the median is 61.5 ms"
)
SNAPSHOT: Final = Snapshot(
    dataset=MODEL.name,
    version=3,
    digest="5" * 64,
    rows_in=130,
    rows_out=120,
    rejected={},
    contract=MODEL.contract.fingerprint,
    raw="6" * 64,
    created_at="2014-01-01T00:00:00+00:00",
    first_event="2013-01-01T10:15:00.000000Z",
    last_event="2013-12-31T23:59:00.000000Z",
)


def make_subject(**changed: Any) -> CardSubject:
    """A subject with a thousand rows, on which the model is better than the baseline."""
    random = np.random.default_rng(0)
    true = random.beta(1.5, 4, 1_000)
    identity = make_identity(make_files())
    made = CardSubject(
        model=MODEL,
        identity=identity,
        digest=identity.digest,
        provenance=PROVENANCE,
        record=make_record(),
        snapshot=SNAPSHOT,
        predicted=Predicted(
            task=task_of(MODEL.contract),
            labels=(random.uniform(size=1_000) < true).astype(np.int64),
            answers=to_answers(np.clip(true + random.normal(0, 0.05, 1_000), 0, 1)),
            baseline=to_answers(np.clip(true + random.normal(0, 0.4, 1_000), 0, 1)),
            importance={"distance": 0.25, "departure_hour": 0.125, "carrier": 0.0, "origin": -0.001},
        ),
        trained=Span("2013-01-01T10:15:00.000000Z", "2013-09-30T23:59:59.999999Z"),
        evaluated=Span("2013-10-01T00:00:00.000000Z", "2013-12-31T23:59:00.000000Z"),
    )
    return replace(made, **changed)


def to_answers(probabilities: NDArray[np.float64]) -> Columns:
    """Answers of the project that consist of these probabilities."""
    return {MODEL.contract.prediction.name: probabilities}


def with_importance(importance: Mapping[str, float]) -> Predicted:
    """What `make_subject` predicts, with other importances."""
    return replace(make_subject().predicted, importance=importance)


def make_refused_subject(**changed: Any) -> CardSubject:
    return make_subject(record=make_record(status="refused", gates=[PASSED, FAILED]), **changed)
