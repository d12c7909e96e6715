"""What a service with a required signature accepts: signed releases, signed traffic, and no revision of the past."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from athanor.errors import ReleaseError, StorageError
from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Traffic
from athanor.system.atomic import replace_file
from athanor.system.locks import acquire
from athanor.system.regular import read_regular

# The functions that need cryptography import it: a service without a required signature does not.
_MAX_BYTES: Final = 4096


class _Served(BaseModel):
    """The latest traffic that was served.

    Attributes:
        traffic: its digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: int = Field(ge=1)
    traffic: str = Field(pattern=r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Trust:
    """Requirements on what is served.

    Attributes:
        public_key: file of the key that must have signed it.
        memory: file that keeps the highest revision served, over restarts; None to keep none.
    """

    public_key: Path
    memory: Path | None = None

    def require_release(self, store: ReleaseStore, release: Release) -> None:
        """Raises ReleaseError if the release is not signed, SettingsError if the key cannot be read."""
        from athanor.release.signing.releases import verify_signature  # noqa: PLC0415 - see above

        verify_signature(release, store.read_signatures(release.identity.model, release.digest), self.public_key)

    def require_traffic(self, store: ReleaseStore, traffic: Traffic) -> None:
        """Checks the signature of a traffic file, and that it is no older one than was served.

        Remembers one without a champion at once: it is never about to be served.

        Raises:
            ReleaseError: it is not signed, or was put back; or the memory is damaged.
            SettingsError: the key cannot be read.
            StorageError: the memory cannot be written.
        """
        from athanor.release.signing.traffic import traffic_digest, verify_traffic  # noqa: PLC0415 - see above

        verify_traffic(traffic, store.read_traffic_signatures(traffic.model), self.public_key)
        latest = self._read()
        if latest is None or traffic.revision > latest.revision:
            if traffic.champion is None:
                self.remember(traffic)
            return
        if (traffic.revision, traffic_digest(traffic)) != (latest.revision, latest.traffic):
            is_back = traffic.revision < latest.revision
            what = "an older traffic file was put back" if is_back else "its content is another"
            raise ReleaseError(
                f"traffic revision {traffic.revision} of {traffic.model} is refused: this service has served revision "
                f"{latest.revision}, and {what}. Publish the last move by `athanor registry doctor --mend`; if the "
                f"registry itself was restored from a backup, remove {self.memory}"
            )

    def remember(self, traffic: Traffic) -> None:
        """Keeps the revision of a traffic that is about to be served. Raises StorageError if it cannot be written."""
        from athanor.release.signing.traffic import traffic_digest  # noqa: PLC0415 - see above

        latest = self._read()
        if self.memory is None or (latest is not None and traffic.revision <= latest.revision):
            return
        served = _Served(revision=traffic.revision, traffic=traffic_digest(traffic))
        try:
            # Replicas are processes of their own, and one that is behind must not undo what another has kept.
            with acquire(self.memory.with_name(f"{self.memory.name}.lock")):
                latest = self._read()
                if latest is None or served.revision > latest.revision:
                    replace_file(self.memory, served.model_dump_json().encode())
        except OSError as error:
            raise StorageError(f"{self.memory} cannot be written: {error.strerror}") from None

    def _read(self) -> _Served | None:
        if self.memory is None:
            return None
        try:
            return _Served.model_validate_json(read_regular(self.memory, _MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise ReleaseError(
                f"{self.memory}, which keeps the revision of the traffic that was served last, cannot be read: "
                f"{error}. Restore it, or remove it once the traffic file is known to be the latest"
            ) from None
