"""The manifest: JSON that says what a release is, and what its digest covers."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, NonNegativeInt, model_validator

Scalar: TypeAlias = bool | int | float | str | None

FORMAT: Final = 4
"""Of releases. Others are refused."""

_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


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


class Temperature(_Frozen):
    """Temperature scaling: the probabilities of the categories become `softmax(log(p) / temperature)`.

    Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """

    temperature: float


class Intervals(_Frozen):
    """Conformal intervals around a predicted number, by bins of it: `value + lower[bin]` to `value + upper[bin]`.

    Attributes:
        coverage: share of outcomes that the intervals are made to hold, such as 0.9.
        edges: between bins, ascending, one fewer than bins. A value that equals an edge is in the bin above.
        lower, upper: one for each bin.
    """

    coverage: float
    edges: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


class Sets(_Frozen):
    """Conformal prediction sets: a category is in the set if its probability is at least its threshold.

    Attributes:
        coverage: share of outcomes, of each category, that the sets are made to hold.
        thresholds: by category; "true" and "false" are those of a bool.
    """

    coverage: float
    thresholds: Mapping[str, float]


class SplitResult(_Frozen):
    """What a split came to.

    Attributes:
        kind: `latest`, `from` or `share`; see `athanor.training.splits`.
        boundary: instant from which on rows were held out, ISO 8601, UTC; "" for a split that is not by time.
        seed: of a random split; None for others.
        rows_trained, rows_evaluated: numbers of rows of the two parts.
        rows_left_out: number of rows in neither: earlier rows of groups that occur from the boundary on.
    """

    kind: Literal["latest", "from", "share"]
    boundary: str = ""
    seed: int | None = None
    rows_trained: NonNegativeInt
    rows_evaluated: NonNegativeInt
    rows_left_out: NonNegativeInt = 0


class Refit(_Frozen):
    """The last fit, of all rows: its model is the release's, while the metrics are the evaluated model's.

    Attributes:
        rows: number of rows.
        last_event: event time of the last one, ISO 8601, UTC; "" without event times.
        evaluated: sha256 of the graph that was evaluated.
    """

    rows: NonNegativeInt
    last_event: str
    evaluated: str


class Identity(_Frozen):
    """Everything that determines the model. Trainings with equal identities make the same release.

    Attributes:
        task: `binary`, `multiclass` or `regression`; it follows from the contract's label.
        contract: fingerprint of the contract's wire.
        snapshot: content digest of the training data.
        features: digest of the feature code.
        recipe: digest of the recipe.
        split: of the rows into those that trained the evaluated model, and those that it was evaluated on.
        algorithm: name of the winning candidate.
        parameters: its parameters, as the search chose them.
        calibration: of the probabilities, part of the graph; None if it did not help.
        doubt: intervals or sets, part of the graph; None if the recipe asks for none.
        refit: None if the release's model is the evaluated one.
        metrics: of the evaluated model on the held-out rows, by name.
        baseline: the baseline's metrics, by name.
        files: sha256 by name of each file that makes or tests the model: all but the manifest's `documents`.
    """

    format: Literal[4] = FORMAT
    model: str
    task: str
    contract: str
    snapshot: str
    features: str
    recipe: str
    split: SplitResult
    algorithm: str
    parameters: Mapping[str, Scalar]
    calibration: Calibration | Temperature | None = None
    doubt: Intervals | Sets | None = None
    refit: Refit | None = None
    seed: int
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    files: Mapping[str, str]

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, of the canonical JSON: the release's digest."""
        return _digest(self)


class Provenance(_Frozen):
    """How a release was made. Not part of its digest: another commit or machine may make the same release.

    Attributes:
        snapshot_version: version of the dataset's table.
        commit: of the repository; "" without one.
        is_clean: whether the repository had no uncommitted changes.
        lock: sha256 of the lock file of the libraries.
        pex: content digest of the binary that trained; "" when it ran from sources.
        trials: the search's budget; None for all combinations.
        engine: `local` or `ray`.
        threads: cores that the search used; each fit uses one.
        cpu: processor family, as the processor reports it.
        libraries: versions of all installed libraries, by name.
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
        documents: sha256 by name of files that describe the release and do not determine it, such as the model card and
            the record of its training. `digest` does not cover them.
        provenance_digest: sha256 of the provenance, which `digest` does not cover. Detects damage; proves no origin.
        sizes: bytes of each file by name, so that a reader knows how much to read.
    """

    digest: str
    identity: Identity
    documents: Mapping[str, str]
    provenance: Provenance
    provenance_digest: str
    sizes: Mapping[str, NonNegativeInt]

    @model_validator(mode="after")
    def _check_names(self) -> "Manifest":
        names = self.digests.keys()
        if strange := [name for name in names if re.fullmatch(_NAME, name) is None]:
            raise ValueError(f"{strange[0]!r} is not the name of a file of a release")
        if self.sizes.keys() != names:
            raise ValueError("it names other files than it has sizes for")
        return self

    @property
    def digests(self) -> dict[str, str]:
        """sha256 by name of all files of the release but the manifest."""
        return {**self.identity.files, **self.documents}

    @classmethod
    def seal(
        cls,
        identity: Identity,
        provenance: Provenance,
        documents: Mapping[str, str],
        sizes: Mapping[str, int],
    ) -> "Manifest":
        return cls(
            digest=identity.digest,
            identity=identity,
            documents=documents,
            provenance=provenance,
            provenance_digest=_digest(provenance),
            sizes=sizes,
        )

    @property
    def content(self) -> bytes:
        """Bytes of the file: equal manifests have equal bytes."""
        return (self.model_dump_json(indent=2) + "\n").encode()
