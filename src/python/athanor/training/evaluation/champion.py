"""The champion's predictions for the rows on which a new release is evaluated."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.packages import package_of
from athanor.errors import NotFoundError
from athanor.features.features import Model
from athanor.release.files import ANSWERS, CONTRACT, GRAPH, Release
from athanor.release.predictor import Graph
from athanor.release.store import ReleaseStore
from athanor.training.evaluation.evidence import Champion, Rows


def encode_predictions(snapshot: str, test_from: str, probabilities: NDArray[np.float64]) -> dict[str, str]:
    """The JSON form of a release's predictions for its evaluation rows.

    Kept because the graph cannot run once the features have changed.

    Args:
        snapshot: content digest.
        probabilities: from a graph, so that float32 is lossless.
    """
    content = probabilities.astype("<f4").tobytes()
    return {"snapshot": snapshot, "test_from": test_from, "probabilities": base64.b64encode(content).decode()}


def predict_with_champion(
    store: ReleaseStore, model: Model, rows: Rows, snapshot: str, test_from: str
) -> Champion | None:
    """The champion with its predictions; None if there is no traffic yet.

    Runs the champion's graph if the features are the same. If they have changed, uses the predictions stored with the
    champion, provided that it was evaluated on the same rows.

    Raises:
        ReleaseError: the champion is corrupted.
    """
    try:
        served = store.read_traffic(model.name).champion
    except NotFoundError:
        return None
    release = store.read(model.name, served.digest)
    is_of_another_major = package_of(release.json(CONTRACT)) != package_of(model.contract.wire)
    probabilities, reason = _predict(release, model, rows, snapshot, test_from)
    return Champion(served.semantic_version, served.digest, probabilities, reason, is_of_another_major)


def _predict(
    release: Release, model: Model, rows: Rows, snapshot: str, test_from: str
) -> tuple[NDArray[np.float64] | None, str]:
    if release.identity.features == model.features.digest:
        return Graph(release.files[GRAPH]).predict_probability(rows.features), ""
    kept = release.json(ANSWERS)
    if (kept["snapshot"], kept["test_from"]) == (snapshot, test_from):
        return _read_predictions(kept), ""
    version = release.manifest.provenance.snapshot_version
    return None, (
        f"the champion has other features and was evaluated on snapshot {version} ({kept['snapshot'][:12]}) from "
        f"{kept['test_from']}, this one on {snapshot[:12]} from {test_from}; "
        f"train on that snapshot (--snapshot {version})"
    )


def _read_predictions(kept: Any) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(kept["probabilities"]), dtype="<f4").astype(np.float64)
