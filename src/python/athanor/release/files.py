"""A release on disk: written whole or not at all, and read only if every byte is unchanged."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from athanor.contract.contract import Contract
from athanor.contract.descriptors import from_descriptors
from athanor.errors import ContractError, NotFoundError, ReleaseError
from athanor.release.manifest import FORMAT, Identity, Manifest, Provenance
from athanor.release.storage.local import LocalStorage
from athanor.release.storage.storage import Storage

CONTRACT: Final = "contract.json"
DESCRIPTORS: Final = "contract.binpb"
GRAPH: Final = "model.onnx"
EVALUATED_GRAPH: Final = "evaluated.onnx"
"""Of the evaluated model, in a release whose graph is of a refit."""
MANIFEST: Final = "manifest.json"
REFERENCE_PROFILE: Final = "reference_profile.json"
REFERENCE_ROWS: Final = "reference_rows.json"
MODEL_CARD: Final = "model_card.html"
TRAINING: Final = "training.json"

MAX_MANIFEST_BYTES: Final = 4 * 1024**2
"""A manifest has some 20 kB, most of them names of libraries."""


@dataclass(frozen=True)
class Release:
    """A release whose files were verified against its manifest.

    Attributes:
        location: the folder or URL that it was read from.
        files: contents by name, without the manifest.
    """

    location: str
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

    @cached_property
    def contract(self) -> Contract:
        """Its own contract, read without generated code.

        Raises:
            ReleaseError: its protobuf files cannot be read, or declare another model or contract than its identity
                names.
        """
        wire = self.json(CONTRACT)
        try:
            contract = from_descriptors(self.files[DESCRIPTORS], wire["method"].split("/")[0], wire["outcome"])
        except (ContractError, KeyError) as error:
            raise ReleaseError(f"{self.location}/{DESCRIPTORS}: {error}") from None
        if contract.name != self.identity.model:
            raise ReleaseError(
                f"release {self.digest} is of the model {self.identity.model}, and its proto package "
                f"{contract.service.file.package} makes the model {contract.name}: train it again with this Athanor"
            )
        found, expected = contract.fingerprint, self.identity.contract
        if found != expected:
            _refuse(self.location, DESCRIPTORS, f"it declares the contract {found}, the manifest says {expected}")
        return contract

    def check_files(self) -> None:
        """Raises ReleaseError unless the files match the manifest."""
        expected, found = self.manifest.digests, digests(self.files)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                was, is_now = expected.get(name, "not part of the release"), found.get(name, "absent")
                _refuse(self.location, name, f"its sha256 is {is_now}, the manifest says {was}")
        for name, size in self.manifest.sizes.items():
            if len(self.files[name]) != size:
                _refuse(self.location, name, f"it has {len(self.files[name]):,} bytes, the manifest says {size:,}")


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """sha256, in hexadecimal, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def write_release(
    folder: Path,
    identity: Identity,
    provenance: Provenance,
    files: Mapping[str, bytes],
    documents: Mapping[str, bytes],
) -> Release:
    """Writes `folder/<digest>`. A release that exists already stays as it is, with its first documents.

    Args:
        identity: its `files` are the digests of `files`.
        documents: files that describe the release and do not determine it.
    """
    sizes = {name: len(content) for name, content in sorted({**files, **documents}.items())}
    manifest = Manifest.seal(identity, provenance, digests(documents), sizes)
    LocalStorage(folder).place(manifest.digest, {**files, **documents, MANIFEST: manifest.content})
    return read_release(folder / manifest.digest)


def read_release(folder: Path, digest: str | None = None) -> Release:
    """Reads and verifies a release.

    Args:
        digest: the expected one; the folder's name by default.

    Raises:
        NotFoundError: the folder does not exist.
        ReleaseError: a file is absent, changed or unknown, or the digest differs. Names file and digests.
    """
    digest = digest or folder.name
    if not folder.is_dir():
        raise NotFoundError(f"there is no release {digest} at {folder}")
    return verify_release(LocalStorage(folder.parent), folder.name, digest)


def verify_release(storage: Storage, folder: str, digest: str) -> Release:
    """Reads and verifies the release in a folder of a storage. Raises ReleaseError as `read_release` does."""
    manifest = read_manifest(storage, folder, digest)
    names = [name for name in storage.list_names(folder) if name != MANIFEST]
    for name in names:
        if name not in manifest.digests:
            _refuse(storage.name(folder), name, "the manifest names no such file")
    files = {name: _read(storage, f"{folder}/{name}", manifest.sizes[name]) for name in names}
    release = Release(storage.name(folder), manifest, files)
    release.check_files()
    return release


def read_manifest(storage: Storage, folder: str, digest: str) -> Manifest:
    """Reads and verifies the manifest of a release without its other files. Raises ReleaseError as `read_release`."""
    content = _read(storage, f"{folder}/{MANIFEST}", MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        path = storage.name(f"{folder}/{MANIFEST}")
        raise ReleaseError(f"{path}, of release {digest}, {_explain(content) or f'cannot be read: {error}'}") from None
    actual = manifest.identity.digest
    if not digest == manifest.digest == actual:
        reason = f"it says digest {manifest.digest}, its content has {actual}, expected is {digest}"
        _refuse(storage.name(folder), MANIFEST, reason)
    as_written = Manifest.seal(manifest.identity, manifest.provenance, manifest.documents, manifest.sizes).content
    if content != as_written:
        found, expected = (hashlib.sha256(written).hexdigest() for written in (content, as_written))
        _refuse(storage.name(folder), MANIFEST, f"its sha256 is {found}, its values written anew have {expected}")
    return manifest


def _explain(manifest: bytes) -> str:
    """Why the manifest of another format is refused; "" if that is not its fault."""
    try:
        identity = json.loads(manifest)["identity"]
        model, found = identity["model"], identity["format"]
    except (ValueError, KeyError, TypeError):
        return ""
    if found == FORMAT:
        return ""
    return f"has format {found!r}, this Athanor reads {FORMAT}: make it anew with `athanor train {model}`"


def _read(storage: Storage, path: str, max_bytes: int) -> bytes:
    try:
        return storage.read(path, max_bytes)
    except OSError as error:
        raise ReleaseError(f"{storage.name(path)} cannot be read: {error.strerror or error}") from None


def _refuse(location: str, name: str, reason: str) -> None:
    raise ReleaseError(
        f"{location}/{name} is corrupted or was tampered with: {reason}. "
        f"Remove {location} and register the release again"
    )
