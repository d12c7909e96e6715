"""The release store: a folder that the registry publishes to and serving reads from.

<store>/releases/<model>/<digest>/    releases, never changed
<store>/traffic/<model>.json          which of them answers, replaced as a whole
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from athanor.atomic import replace_file
from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import MANIFEST, Release, place_files, read_manifest, read_release
from athanor.release.manifest import Manifest

_DIGEST = r"^[0-9a-f]{64}$"


class Served(BaseModel):
    """One release in the traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern=_DIGEST)
    semantic_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")


class Traffic(BaseModel):
    """How requests are shared.

    Attributes:
        revision: grows by one with each change.
        champion: the release that answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: int = Field(ge=1)
    champion: Served


class ReleaseStore:
    """Reads and writes a release store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, release: Release) -> None:
        """Copies a verified release into the store; does nothing if it is there."""
        manifest = (release.folder / MANIFEST).read_bytes()
        place_files(self._release_folder(release.identity.model, release.digest), {**release.files, MANIFEST: manifest})

    def read(self, model: str, digest: str) -> Release:
        """Raises NotFoundError or ReleaseError as `read_release` does."""
        return read_release(self._release_folder(model, digest), digest)

    def list_manifests(self, model: str) -> Iterator[Manifest]:
        """Those of all releases of a model. Raises ReleaseError if one is not as it was written."""
        for folder in sorted((self.folder / "releases" / model).glob("[0-9a-f]*")):
            yield read_manifest(folder)

    def write_traffic(self, traffic: Traffic) -> None:
        """Replaces the traffic file at once; a reader sees the old or the new one, never a part."""
        replace_file(self._traffic_path(traffic.model), (traffic.model_dump_json(indent=2) + "\n").encode())

    def read_traffic(self, model: str) -> Traffic:
        """Raises NotFoundError if nothing was promoted yet, ReleaseError if the file is no traffic file."""
        path = self._traffic_path(model)
        try:
            return Traffic.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise NotFoundError(f"no release of {model} takes traffic: {path} is not there; promote one") from None
        except ValidationError as error:
            raise ReleaseError(f"{path} is no traffic file: {error}") from None

    def _release_folder(self, model: str, digest: str) -> Path:
        return self.folder / "releases" / model / digest

    def _traffic_path(self, model: str) -> Path:
        return self.folder / "traffic" / f"{model}.json"
