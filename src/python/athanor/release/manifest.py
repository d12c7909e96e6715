"""The manifest: what a release is, in JSON, and what its digest covers."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

Scalar: TypeAlias = bool | int | float | str | None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _digest(model: BaseModel) -> str:
    canonical = json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Calibration(_Frozen):
    """Platt scaling of the log-odds: `p` becomes `sigmoid(slope * log(p / (1 - p)) + intercept)`.

    Platt 1999, "Probabilistic Outputs for Support Vector Machines".
    """

    slope: float
    intercept: float


class Identity(_Frozen):
    """All that makes the model what it is. Two trainings that agree in it made the same release.

    Attributes:
        contract: fingerprint of the contract.
        snapshot: content digest of the training data.
        features: digest of the feature code.
        recipe: digest of the recipe.
        algorithm: name of the candidate that won.
        parameters: those that the search gave it.
        calibration: of the probabilities, part of the graph; None where it did not help.
        metrics: on the later time slice, by name.
        baseline: the same metrics of the baseline.
        files: sha256 of every file that the model is made of or tried by, by name: all but the manifest's `documents`.
    """

    format: Literal[2] = 2
    model: str
    contract: str
    snapshot: str
    features: str
    recipe: str
    algorithm: str
    parameters: Mapping[str, Scalar]
    calibration: Calibration | None = None
    seed: int
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the canonical JSON: the release's digest."""
        return _digest(self)


class Provenance(_Frozen):
    """How it came about. Recorded, and not part of the digest: another commit or machine may make the same release.

    Attributes:
        snapshot_version: of the dataset in its table.
        commit: of the repository, "" where there was none.
        is_clean: whether all of the repository was committed.
        lock: sha256 of the lock that the libraries come from.
        pex: content digest of the binary that trained, "" where it was none.
        trials: how many the search was allowed; None for all combinations.
        engine: what ran the search, `local` or `ray`.
        threads: cores that the search ran on; each fit has one.
        cpu: family of the processor, as it names itself.
        libraries: versions of all that were there, by name.
        created_at: ISO 8601, UTC.
    """

    snapshot_version: int
    commit: str
    is_clean: bool
    lock: str
    pex: str
    trials: int | None
    engine: str
    threads: int
    athanor: str
    python: str
    platform: str
    cpu: str
    host: str
    libraries: Mapping[str, str]
    created_at: str


class Manifest(_Frozen):
    """`manifest.json`.

    Attributes:
        digest: of the identity.
        documents: sha256 of the files that tell about the release and are not part of what it is, by name: the model
            card, the record of its training. `digest` does not cover them.
        provenance_digest: sha256 of the provenance, which `digest` does not cover: shows damage, and proves no origin.
    """

    digest: str
    identity: Identity
    documents: Mapping[str, str]
    provenance: Provenance
    provenance_digest: str

    @classmethod
    def seal(cls, identity: Identity, provenance: Provenance, documents: Mapping[str, str]) -> "Manifest":
        return cls(
            digest=identity.digest,
            identity=identity,
            documents=documents,
            provenance=provenance,
            provenance_digest=_digest(provenance),
        )

    @property
    def content(self) -> bytes:
        """The one way to write it."""
        return (self.model_dump_json(indent=2) + "\n").encode()
