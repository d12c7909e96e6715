"""The release store: a folder or bucket that the registry publishes to and serving reads from.

<store>/releases/<model>/<digest>/                   immutable releases; one without a manifest does not exist
<store>/traffic/<model>.json                         the releases that answer; replaced as a whole
<store>/ledger/<model>.json                          every version and move that was recorded; replaced as a whole
<store>/signatures/<model>/<digest>/<key id>.json    signatures of releases
<store>/signatures/<model>/traffic/<key id>.json     signatures of the traffic file
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import MANIFEST, MAX_MANIFEST_BYTES, Release, read_manifest, verify_release
from athanor.release.ledger import Ledger
from athanor.release.manifest import Manifest
from athanor.release.storage.locations import open_storage
from athanor.release.traffic import Traffic
from athanor.system.regular import IrregularFileError

if TYPE_CHECKING:
    from athanor.release.signing.releases import Signature
    from athanor.release.signing.traffic import TrafficSignature

_DIGEST: Final = "[0-9a-f]{64}"
_TRAFFIC: Final = "traffic"
# Traffic has less than 1 kB, or 3 with all pins; signatures have less than 1, and a ledger half a kB a move.
_MAX_TRAFFIC_BYTES: Final = 64 * 1024
_MAX_SIGNATURE_BYTES: Final = 64 * 1024
_MAX_LEDGER_BYTES: Final = 64 * 1024**2

_Kind = TypeVar("_Kind", bound=BaseModel)


class ReleaseStore:
    """Reads and writes a release store. The registry's lock ensures that one process publishes at a time."""

    def __init__(self, location: Path | str) -> None:
        """Opens a store; makes and reads nothing.

        Args:
            location: a folder, or a URL that fsspec knows: s3://bucket/store, memory://store, file:///folder.

        Raises:
            SettingsError: no installed library handles the URL.
        """
        self.location = str(location)
        self._storage = open_storage(location)

    def publish(self, release: Release) -> None:
        """Copies a release into the store, or completes an interrupted copy; does nothing if the release is there.

        Each file is read back and compared, and the manifest comes last. A folder of this machine appears at once.

        Raises:
            ReleaseError: a file differs from the manifest or reads back damaged, or the store's copy is damaged. Names
                the file and both digests.
        """
        release.check_files()
        model, digest = release.identity.model, release.digest
        if self._is_unfinished(model, digest, release.manifest.content):
            self._storage.fill(_release(model, digest), {**release.files, MANIFEST: release.manifest.content})
        else:
            self.read(model, digest)

    def _is_unfinished(self, model: str, digest: str, manifest: bytes) -> bool:
        """Whether the manifest is absent, or cut short by a storage that does not write atomically."""
        found = self._find(f"{_release(model, digest)}/{MANIFEST}", MAX_MANIFEST_BYTES) or b""
        return found != manifest and manifest.startswith(found)

    def read(self, model: str, digest: str) -> Release:
        """Reads and verifies a release.

        Raises:
            NotFoundError: it does not exist, or its publication was never completed.
            ReleaseError: a file is absent, changed or unknown, or the digest differs. Names file and digests. Or the
                release is another model's.
        """
        folder = _release(model, digest)
        if not self._is_there(model, digest):
            raise NotFoundError(f"there is no release {digest} at {self._storage.name(folder)}")
        release = verify_release(self._storage, folder, digest)
        if release.identity.model != model:
            raise ReleaseError(
                f"{release.location} holds a release of {release.identity.model}, and not of {model}: it was moved "
                "there. Remove it"
            )
        return release

    def remove(self, model: str, digest: str) -> None:
        """Removes a release, complete or not; does nothing if it does not exist. Its signatures stay."""
        folder = _release(model, digest)
        # First: an interrupted removal must not look like a damaged release.
        self._storage.remove(f"{folder}/{MANIFEST}")
        self._storage.remove(folder)

    def remove_abandoned(self, older_than_s: float) -> None:
        """Removes incomplete publications of killed processes, if nothing in them was written for so long."""
        latest = time.time() - older_than_s
        for model in self._storage.list_names("releases"):
            self._storage.remove_abandoned(f"releases/{model}", older_than_s)
            for digest in self._list_folders(model):
                if not self._is_there(model, digest) and self._storage.last_written(_release(model, digest)) < latest:
                    self.remove(model, digest)
        for folder in ("traffic", "ledger"):
            self._storage.remove_abandoned(folder, older_than_s)

    def list_models(self) -> list[str]:
        """Models with a release."""
        return [model for model in self._storage.list_names("releases") if self.list_digests(model)]

    def list_traffic(self) -> list[str]:
        """Models with a traffic file, which may have been withdrawn."""
        names = self._storage.list_names(_TRAFFIC)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def list_digests(self, model: str) -> list[str]:
        """Digests of a model's releases."""
        return [digest for digest in self._list_folders(model) if self._is_there(model, digest)]

    def list_manifests(self, model: str) -> Iterator[Manifest]:
        """Manifests of a model's releases. Raises ReleaseError if one was changed."""
        for digest in self.list_digests(model):
            yield read_manifest(self._storage, _release(model, digest), digest)

    def write_signature(self, model: str, digest: str, signature: "Signature") -> None:
        """Writes a signature of a release, or replaces an earlier one by the same key."""
        path = f"{_signatures(model, digest)}/{signature.key_id}.json"
        self._storage.write(path, (signature.model_dump_json(indent=2) + "\n").encode())

    def read_signatures(self, model: str, digest: str) -> "tuple[Signature, ...]":
        """Reads the signatures of a release, unverified.

        Raises:
            ReleaseError: a file is not a valid signature.
        """
        from athanor.release.signing.releases import Signature  # noqa: PLC0415 - without signatures there is no need of cryptography

        return tuple(self._read_signatures(_signatures(model, digest), Signature))

    def write_traffic_signature(self, model: str, signature: "TrafficSignature") -> None:
        """Writes a signature of the traffic file, or replaces an earlier one by the same key."""
        path = f"{_signatures(model, _TRAFFIC)}/{signature.key_id}.json"
        self._storage.write(path, (signature.model_dump_json(indent=2) + "\n").encode())

    def read_traffic_signatures(self, model: str) -> "tuple[TrafficSignature, ...]":
        """As `read_signatures`, of the traffic file."""
        from athanor.release.signing.traffic import TrafficSignature  # noqa: PLC0415 - as above

        return tuple(self._read_signatures(_signatures(model, _TRAFFIC), TrafficSignature))

    def _read_signatures(self, folder: str, kind: type[_Kind]) -> Iterator[_Kind]:
        for name in self._storage.list_names(folder):
            if not name.endswith(".json"):
                continue
            try:
                yield kind.model_validate_json(self._storage.read(f"{folder}/{name}", _MAX_SIGNATURE_BYTES))
            except (OSError, ValidationError) as error:
                raise ReleaseError(f"{self._storage.name(f'{folder}/{name}')} is not a signature: {error}") from None

    def write_traffic(self, traffic: Traffic) -> None:
        """Replaces the traffic file atomically: a reader sees the old or the new one, never a part."""
        self._storage.write(_traffic(traffic.model), (json.dumps(traffic.document(), indent=2) + "\n").encode())

    def read_traffic(self, model: str) -> Traffic:
        """The traffic file, which has no champion once that was withdrawn.

        Raises NotFoundError before the first promotion, ReleaseError if the file is damaged.
        """
        name, content = self._storage.name(_traffic(model)), self._find(_traffic(model), _MAX_TRAFFIC_BYTES)
        if content is None:
            raise NotFoundError(f"no release of {model} takes traffic: {name} does not exist; promote one")
        try:
            return Traffic.model_validate_json(content)
        except ValidationError as error:
            raise ReleaseError(f"{name} is not a traffic file: {error}") from None

    def write_ledger(self, model: str, ledger: Ledger) -> None:
        """Replaces the ledger of a model atomically."""
        self._storage.write(_ledger(model), (ledger.model_dump_json(indent=2) + "\n").encode())

    def read_ledger(self, model: str) -> Ledger:
        """The ledger of a model; an empty one if the store has no file. Raises ReleaseError if it is damaged."""
        return self.find_ledger(model) or Ledger()

    def find_ledger(self, model: str) -> Ledger | None:
        """The ledger of a model; None if the store has no file. Raises ReleaseError if it is damaged."""
        content = self._find(_ledger(model), _MAX_LEDGER_BYTES)
        try:
            return None if content is None else Ledger.model_validate_json(content)
        except ValidationError as error:
            raise ReleaseError(
                f"{self._storage.name(_ledger(model))} is not a ledger: {error.errors()[0]['msg']}. "
                "Restore it from a backup, or write it again from MLflow by `athanor registry doctor --mend`"
            ) from None

    def find_newest(self, model: str) -> tuple[str, Release] | None:
        """The registered release with the highest version that the store holds, and that version.

        Raises ReleaseError if ledger or release are damaged.
        """
        present = set(self.list_digests(model))
        versions = sorted(self.read_ledger(model).versions, key=lambda version: version.order)
        newest = next((version for version in reversed(versions) if version.digest in present), None)
        return (newest.semantic_version, self.read(model, newest.digest)) if newest else None

    def _list_folders(self, model: str) -> list[str]:
        return [name for name in self._storage.list_names(f"releases/{model}") if _is_digest(name)]

    def _is_there(self, model: str, digest: str) -> bool:
        return self._storage.exists(f"{_release(model, digest)}/{MANIFEST}")

    def _find(self, path: str, max_bytes: int) -> bytes | None:
        """The content of a file; None without one. Raises ReleaseError if it is no regular file or larger."""
        try:
            return self._storage.read_if_there(path, max_bytes)
        except IrregularFileError as error:
            raise ReleaseError(
                f"{self._storage.name(path)} cannot be read: {error.strerror}. Remove it, and run "
                "`athanor registry doctor --mend`"
            ) from None


def _release(model: str, digest: str) -> str:
    """Folder of a release. `remove` deletes it, so a digest must not lead elsewhere."""
    if not _is_digest(digest):
        raise NotFoundError(f"{digest!r} is not a digest of a release; give all 64 hexadecimal digits")
    return f"releases/{model}/{digest}"


def _is_digest(name: str) -> bool:
    return re.fullmatch(_DIGEST, name) is not None


def _signatures(model: str, digest: str) -> str:
    return f"signatures/{model}/{digest}"


def _traffic(model: str) -> str:
    return f"traffic/{model}.json"


def _ledger(model: str) -> str:
    return f"ledger/{model}.json"
