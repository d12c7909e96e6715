"""The release store: a folder or bucket that the registry publishes to and serving reads from.

<store>/releases/<model>/<digest>/                   releases, never changed; one without its manifest is not there
<store>/traffic/<model>.json                         which of them answers, replaced as a whole
<store>/signatures/<model>/<digest>/<key id>.json    who stands for them
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import MANIFEST, Release, read_manifest, verify_release
from athanor.release.manifest import Manifest
from athanor.release.storage.locations import open_storage
from athanor.release.traffic import Traffic

if TYPE_CHECKING:
    from athanor.release.signature import Signature

_DIGEST: Final = "[0-9a-f]{64}"


class ReleaseStore:
    """Reads and writes a release store. One process publishes at a time: the registry's lock sees to it."""

    def __init__(self, location: Path | str) -> None:
        """Makes nothing, and reads nothing.

        Args:
            location: a folder, or a URL that fsspec knows: s3://bucket/store, memory://store, file:///folder.

        Raises:
            SettingsError: the library for such a URL is not there.
        """
        self.location = str(location)
        self._storage = open_storage(location)

    def publish(self, release: Release) -> None:
        """Copies a release into the store, and finishes what was begun; does nothing if it is there.

        Each file, as the manifest has it, is read back and compared, and the manifest comes last. Where a folder can
        appear at once, it does.

        Raises:
            ReleaseError: a file is not that of the manifest, the store did not keep one as it was written, or what it
                has of this release is damaged. Names the file and both digests.
        """
        release.check_files()
        model, digest = release.identity.model, release.digest
        if self._is_unfinished(model, digest, release.manifest.content):
            self._storage.fill(_release(model, digest), {**release.files, MANIFEST: release.manifest.content})
        else:
            self.read(model, digest)

    def _is_unfinished(self, model: str, digest: str, manifest: bytes) -> bool:
        """Whether there is no manifest, or one cut short, as file systems leave it that replace nothing at once."""
        found = self._storage.read_if_there(f"{_release(model, digest)}/{MANIFEST}") or b""
        return found != manifest and manifest.startswith(found)

    def read(self, model: str, digest: str) -> Release:
        """Reads and verifies a release.

        Raises:
            NotFoundError: it is not there, or was never finished.
            ReleaseError: a file is absent, changed or unknown, or it is another one. Names file and digests.
        """
        folder = _release(model, digest)
        if not self._is_there(model, digest):
            raise NotFoundError(f"there is no release {digest} at {self._storage.name(folder)}")
        return verify_release(self._storage, folder, digest)

    def remove(self, model: str, digest: str) -> None:
        """Removes a release, finished or not; does nothing if it is not there. Its signatures stay true, and stay."""
        folder = _release(model, digest)
        # First: what is left if this is interrupted must not look like a damaged release.
        self._storage.remove(f"{folder}/{MANIFEST}")
        self._storage.remove(folder)

    def remove_abandoned(self, older_than_s: float) -> None:
        """Removes what killed processes have left half published, if nothing of it was written for so long."""
        latest = time.time() - older_than_s
        for model in self._storage.list_names("releases"):
            self._storage.remove_abandoned(f"releases/{model}", older_than_s)
            for digest in self._list_folders(model):
                if not self._is_there(model, digest) and self._storage.last_written(_release(model, digest)) < latest:
                    self.remove(model, digest)
        self._storage.remove_abandoned("traffic", older_than_s)

    def list_models(self) -> list[str]:
        """Models that have a release."""
        return [model for model in self._storage.list_names("releases") if self.list_digests(model)]

    def list_digests(self, model: str) -> list[str]:
        """Those of all releases of a model."""
        return [digest for digest in self._list_folders(model) if self._is_there(model, digest)]

    def list_manifests(self, model: str) -> Iterator[Manifest]:
        """Those of all releases of a model. Raises ReleaseError if one is not as it was written."""
        for digest in self.list_digests(model):
            yield read_manifest(self._storage, _release(model, digest), digest)

    def write_signature(self, model: str, digest: str, signature: "Signature") -> None:
        """Writes a signature of a release, or replaces that by the same key."""
        path = f"{_signatures(model, digest)}/{signature.key_id}.json"
        self._storage.write(path, (signature.model_dump_json(indent=2) + "\n").encode())

    def read_signatures(self, model: str, digest: str) -> "tuple[Signature, ...]":
        """Reads the signatures of a release, and proves none of them.

        Raises:
            ReleaseError: a file there is no signature.
        """
        from athanor.release.signature import Signature  # noqa: PLC0415 - who demands none needs no cryptography

        folder, found = _signatures(model, digest), []
        for name in self._storage.list_names(folder):
            if not name.endswith(".json"):
                continue
            try:
                found.append(Signature.model_validate_json(self._storage.read(f"{folder}/{name}")))
            except (OSError, ValidationError) as error:
                raise ReleaseError(f"{self._storage.name(f'{folder}/{name}')} is no signature: {error}") from None
        return tuple(found)

    def write_traffic(self, traffic: Traffic) -> None:
        """Replaces the traffic file at once; a reader sees the old or the new one, never a part."""
        self._storage.write(_traffic(traffic.model), (traffic.model_dump_json(indent=2) + "\n").encode())

    def read_traffic(self, model: str) -> Traffic:
        """Raises NotFoundError if nothing was promoted yet, ReleaseError if the file is no traffic file."""
        name = self._storage.name(_traffic(model))
        try:
            return Traffic.model_validate_json(self._storage.read(_traffic(model)))
        except FileNotFoundError:
            raise NotFoundError(f"no release of {model} takes traffic: {name} is not there; promote one") from None
        except ValidationError as error:
            raise ReleaseError(f"{name} is no traffic file: {error}") from None

    def _list_folders(self, model: str) -> list[str]:
        return [name for name in self._storage.list_names(f"releases/{model}") if _is_digest(name)]

    def _is_there(self, model: str, digest: str) -> bool:
        return self._storage.is_file(f"{_release(model, digest)}/{MANIFEST}")


def _release(model: str, digest: str) -> str:
    """The folder of a release. Digests name what is removed, so that none may lead elsewhere."""
    if not _is_digest(digest):
        raise NotFoundError(f"{digest!r} is no digest of a release; give all its 64 hexadecimal digits")
    return f"releases/{model}/{digest}"


def _is_digest(name: str) -> bool:
    return re.fullmatch(_DIGEST, name) is not None


def _signatures(model: str, digest: str) -> str:
    return f"signatures/{model}/{digest}"


def _traffic(model: str) -> str:
    return f"traffic/{model}.json"
