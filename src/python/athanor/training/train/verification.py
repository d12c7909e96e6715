"""Verification: rebuilds a release from its manifest and compares the two."""

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
from athanor.release.answers import measure_difference
from athanor.release.files import REFERENCE_ROWS, Release
from athanor.training.recipe import Recipe
from athanor.training.train.provenance import cpu_family, describe_tree, lock_digest
from athanor.training.train.release_build import (
    Steps,
    TrainingOptions,
    UngatedRelease,
    build_release,
    refit_release,
)

# Possible causes of a difference, in order of display.
_CAUSES: Final = ("data", "code", "lock", "parameters", "numerics")


@dataclass(frozen=True)
class Part:
    """One part of a release, then and now.

    Attributes:
        cause: the kind of a difference: data, code, lock, parameters or numerics; "" for parts that cause none.
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
    """The comparison of a release with its rebuild.

    Attributes:
        digest, digest_now: of the release and of the rebuild.
        largest_difference: between their answers to the release's reference rows.
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
        """The causes of differences. Lists numerics only alone, because other inputs change numbers too."""
        found = {part.cause for part in self.parts if not part.is_same}
        named = tuple(cause for cause in _CAUSES if cause in found)
        return tuple(cause for cause in named if cause != "numerics") or named


def verify(
    recipe: Recipe, release: Release, home: Home, progress: Progress | None = None, jobs: int | None = None
) -> Verification:
    """Searches and fits again on the release's snapshot, and compares.

    Raises:
        NotFoundError: the snapshot is not in this home.
        DataError: the snapshot's content has changed.
    """
    snapshot = _find_snapshot(release, home)
    with tempfile.TemporaryDirectory(prefix="athanor-") as folder:
        options = TrainingOptions(release.manifest.provenance.trials, jobs=jobs, search_folder=Path(folder))
        steps = Steps(progress or Unwatched())
        built = build_release(recipe, snapshot, home, steps, options)
        if recipe.refit:
            built = refit_release(recipe, built, steps)
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
        Part("task", "code", then.task, now.task),
        Part("contract", "code", then.contract, now.contract),
        Part("features", "code", then.features, now.features),
        Part("recipe", "code", then.recipe, now.recipe),
        Part("split", "code", str(then.split), str(now.split)),
        Part("lock", "lock", provenance.lock, lock_digest()),
        Part("algorithm", "parameters", then.algorithm, now.algorithm),
        Part("parameters", "parameters", str(dict(then.parameters)), str(dict(now.parameters))),
        Part("seed", "parameters", str(then.seed), str(now.seed)),
        Part("calibration", "numerics", str(then.calibration), str(now.calibration)),
        Part("doubt", "numerics", str(then.doubt), str(now.doubt)),
        Part("refit", "numerics", str(then.refit), str(now.refit)),
        Part("metrics", "numerics", str(dict(then.metrics)), str(dict(now.metrics))),
        Part("baseline", "numerics", str(dict(then.baseline)), str(dict(now.baseline))),
        *files,
    ]


def _tree(commit: str, is_clean: bool) -> str:
    return f"{commit}{'' if is_clean else ' and changes'}" if commit else "none"


def _measure_difference(recipe: Recipe, release: Release, built: UngatedRelease) -> float:
    """The largest difference between the new graph's answers to the reference rows and those in the release."""
    reference = release.json(REFERENCE_ROWS)
    contract = recipe.model.contract
    row_class = GetMessageClass(contract.row)
    rows = [json_format.ParseDict(row, row_class()) for row in reference["rows"]]
    ours = built.evidence.predict(to_columns(contract.columns, rows))
    theirs = {
        column.name: np.array(reference["answers"][column.name], dtype=column.dtype)
        for column in contract.answer
        if column.name in reference["answers"]
    }
    return float(measure_difference(contract.answer, ours, theirs).max())
