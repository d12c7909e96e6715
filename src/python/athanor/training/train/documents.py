"""The documents of a training: protobuf files, model card and training record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from athanor.contract.descriptors import to_descriptors
from athanor.data.snapshots.snapshot import Snapshot
from athanor.release.files import DESCRIPTORS, MODEL_CARD, TRAINING
from athanor.release.manifest import Identity, Provenance
from athanor.release.record import TrainingRecord
from athanor.system.atomic import replace_file
from athanor.training.card.figures import Predicted
from athanor.training.card.importance import measure_importance
from athanor.training.card.page import CardSubject, write_card
from athanor.training.evaluation.evidence import Evidence
from athanor.training.gates.gate import raise_if_failed
from athanor.training.recipe import Recipe

REFUSED: Final = "refused"


def make_documents(
    recipe: Recipe,
    snapshot: Snapshot,
    identity: Identity,
    provenance: Provenance,
    record: TrainingRecord,
    evidence: Evidence,
) -> Mapping[str, bytes]:
    """The documents of a release, by file name.

    Args:
        evidence: of the evaluated model.
    """
    card = write_card(
        CardSubject(
            model=recipe.model,
            identity=identity,
            digest=identity.digest,
            provenance=provenance,
            record=record,
            snapshot=snapshot,
            predicted=Predicted(
                task=recipe.task,
                labels=evidence.rows.labels,
                answers=evidence.answers,
                baseline=evidence.baseline,
                importance=measure_importance(evidence),
            ),
            trained=evidence.trained,
            evaluated=evidence.rows.span(recipe.model),
        )
    )
    return {
        # No part of the identity: words and budgets stand in them too. The fingerprint proves the rest.
        DESCRIPTORS: to_descriptors(recipe.model.contract),
        MODEL_CARD: card,
        TRAINING: record.model_dump_json(indent=2).encode(),
    }


def raise_if_refused(record: TrainingRecord, documents: Mapping[str, bytes], folder: Path, digest: str) -> None:
    """Writes the model card and the record of a refused training and raises; does nothing if it passed.

    Raises:
        GateError: a gate failed; the message lists the failed gates and the path of the model card.
    """
    if record.status != "refused":
        return
    page = folder / f"{REFUSED}-{digest[:12]}.html"
    replace_file(page, documents[MODEL_CARD], durable=False)
    replace_file(page.with_suffix(".json"), documents[TRAINING], durable=False)
    raise_if_failed(record.gates, where=str(page))
