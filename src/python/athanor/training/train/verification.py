"""Verification: a release is made again from its manifest alone, and compared with what it was."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.messages import to_columns
from athanor.data.snapshots.snapshot import Snapshot, list_snapshots
from athanor.errors import NotFoundError
from athanor.home import Home
from athanor.progress import Progress, Unwatched
from athanor.release.files import REFERENCE_ROWS, Release
from athanor.training.recipe import Recipe
from athanor.training.train.provenance import cpu_family, describe_tree, lock_digest
from athanor.training.train.release_build import Steps, TrainingOptions, UngatedRelease, build_release

# What tells why two releases differ; the others tell where and from what they were made.
_CAUSES: Final = ("data", "code", "lock", "parameters", "numerics")


@dataclass(frozen=True)
class Part:
    """One thing of a release, then and now.

    Attributes:
        cause: under what a difference is counted: data, code, lock, parameters or numerics; "" for what causes none.
    """

    name: str
    cause: str
    then: str
    now: str

    @property
    def is_same(self) -> bool:
        return self.then == self.now


@dataclass(frozen=True)
class Verification:
    """What making a release again has shown.

    Attributes:
        digest, digest_now: of the release, and of what was made now.
        largest_difference: of the answers to the release's reference rows.
    """

    digest: str
    digest_now: str
    parts: tuple[Part, ...]
    largest_difference: float

    @property
    def is_same(self) -> bool:
        return self.digest == self.digest_now

    @property
    def causes(self) -> tuple[str, ...]:
        """What differs. Numerics only where nothing else does: other inputs give other numbers."""
        found = {part.cause for part in self.parts if not part.is_same}
        named = tuple(cause for cause in _CAUSES if cause in found)
        return tuple(cause for cause in named if cause != "numerics") or named


def verify(
    recipe: Recipe, release: Release, home: Home, progress: Progress | None = None, jobs: int | None = None
) -> Verification:
    """Reads the release's snapshot, searches and fits anew, and compares.

    Raises:
        NotFoundError: the snapshot is not in this home.
        DataError: its content is not what it was.
    """
    snapshot = _find_snapshot(release, home)
    with tempfile.TemporaryDirectory(prefix="athanor-") as folder:
        options = TrainingOptions(release.manifest.provenance.trials, jobs=jobs, search_folder=Path(folder))
        built = build_release(recipe, snapshot, home, Steps(progress or Unwatched()), options)
    return Verification(
        digest=release.digest,
        digest_now=built.identity.digest,
        parts=tuple(_compare(release, built)),
        largest_difference=_measure_difference(recipe, release, built),
    )


def _find_snapshot(release: Release, home: Home) -> Snapshot:
    model, digest = release.identity.model, release.identity.snapshot
    found = next((snapshot for snapshot in list_snapshots(model, home.datasets) if snapshot.digest == digest), None)
    if found is None:
        raise NotFoundError(
            f"{home.datasets / model} has no snapshot {digest[:12]}, of release {release.digest[:12]}; "
            f"build it at commit {release.manifest.provenance.commit or '?'} by `athanor data build {model}`"
        )
    return found


def _compare(release: Release, built: UngatedRelease) -> list[Part]:
    then, now, provenance = release.identity, built.identity, release.manifest.provenance
    commit, is_clean = describe_tree()
    files = [
        Part(name, "numerics", then.files.get(name, "absent"), now.files.get(name, "absent"))
        for name in sorted(then.files.keys() | now.files.keys())
    ]
    return [
        Part("commit", "", _tree(provenance.commit, provenance.is_clean), _tree(commit, is_clean)),
        Part("processor", "", provenance.cpu, cpu_family()),
        Part("snapshot", "data", then.snapshot, now.snapshot),
        Part("contract", "code", then.contract, now.contract),
        Part("features", "code", then.features, now.features),
        Part("recipe", "code", then.recipe, now.recipe),
        Part("lock", "lock", provenance.lock, lock_digest()),
        Part("algorithm", "parameters", then.algorithm, now.algorithm),
        Part("parameters", "parameters", str(dict(then.parameters)), str(dict(now.parameters))),
        Part("seed", "parameters", str(then.seed), str(now.seed)),
        Part("calibration", "numerics", str(then.calibration), str(now.calibration)),
        Part("metrics", "numerics", str(dict(then.metrics)), str(dict(now.metrics))),
        Part("baseline", "numerics", str(dict(then.baseline)), str(dict(now.baseline))),
        *files,
    ]


def _tree(commit: str, is_clean: bool) -> str:
    return f"{commit}{'' if is_clean else ' and changes'}" if commit else "none"


def _measure_difference(recipe: Recipe, release: Release, built: UngatedRelease) -> float:
    """How far the new graph's answers to the reference rows are from those that the release keeps."""
    reference = release.json(REFERENCE_ROWS)
    row_class = GetMessageClass(recipe.model.contract.row)
    rows = [json_format.ParseDict(row, row_class()) for row in reference["rows"]]
    answers = built.evidence.predict(to_columns(recipe.model.contract.columns, rows))
    return float(np.abs(answers - np.array(reference["predictions"])).max())
