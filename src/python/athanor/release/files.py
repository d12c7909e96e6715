"""A release on disk: written whole or not at all, and read only if every byte is the one that was written."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from athanor.atomic import place_folder
from athanor.errors import NotFoundError, ReleaseError
from athanor.release.manifest import Identity, Manifest, Provenance

CONTRACT: Final = "contract.json"
GRAPH: Final = "model.onnx"
MANIFEST: Final = "manifest.json"
REFERENCE_PROFILE: Final = "reference_profile.json"
REFERENCE_ROWS: Final = "reference_rows.json"
MODEL_CARD: Final = "model_card.md"


@dataclass(frozen=True)
class Release:
    """A release whose files were verified against its manifest. Attributes are contents; `folder` is where it lies."""

    folder: Path
    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def identity(self) -> Identity:
        return self.manifest.identity

    def json(self, name: str) -> Any:
        return json.loads(self.files[name])


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """sha256, in hexadecimal, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def write_release(folder: Path, identity: Identity, provenance: Provenance, files: Mapping[str, bytes]) -> Release:
    """Writes `folder/<digest>`; if that release is there already it is left as it is.

    Args:
        identity: its `files` are the digests of `files`.
    """
    manifest = Manifest.seal(identity, provenance)
    place_files(folder / manifest.digest, {**files, MANIFEST: manifest.content})
    return read_release(folder / manifest.digest)


def place_files(final: Path, files: Mapping[str, bytes]) -> None:
    """Makes a folder of these files appear at once; does nothing if it is there."""

    def fill(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)

    place_folder(final, fill)


def read_release(folder: Path, digest: str | None = None) -> Release:
    """Reads and verifies a release.

    Args:
        digest: the one expected; the folder's name when not given.

    Raises:
        NotFoundError: there is no such folder.
        ReleaseError: a file is absent, changed or unknown, or the release is another one. Names file and digests.
    """
    digest = digest or folder.name
    if not folder.is_dir():
        raise NotFoundError(f"there is no release {digest} at {folder}")
    manifest = read_manifest(folder, digest)
    files = {path.name: _read(path) for path in folder.iterdir() if path.name != MANIFEST}
    expected, found = manifest.identity.files, digests(files)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            was, is_now = expected.get(name, "not part of the release"), found.get(name, "absent")
            _refuse(folder / name, f"its sha256 is {is_now}, the manifest says {was}")
    return Release(folder, manifest, files)


def read_manifest(folder: Path, digest: str | None = None) -> Manifest:
    """Reads and verifies the manifest of a release, and none of its files; see `read_release`."""
    path, digest = folder / MANIFEST, digest or folder.name
    content = _read(path)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ReleaseError(f"{path}, of release {digest}, cannot be read: {error}") from None
    actual = manifest.identity.digest
    if not digest == manifest.digest == actual:
        _refuse(path, f"it says digest {manifest.digest}, its content has {actual}, expected is {digest}")
    as_written = Manifest.seal(manifest.identity, manifest.provenance).content
    if content != as_written:
        found, expected = (hashlib.sha256(written).hexdigest() for written in (content, as_written))
        _refuse(path, f"its sha256 is {found}, what it says would be written with {expected}")
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error}") from None


def _refuse(path: Path, reason: str) -> None:
    raise ReleaseError(
        f"{path} is corrupted or was tampered with: {reason}. Remove {path.parent} and register the release again"
    )
