"""Where a service keeps what others find it by."""

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

from athanor.errors import NotFoundError
from athanor.serving.settings import ServingSettings
from athanor.serving.tokens import local_token_path, tokens_path


@dataclass(frozen=True)
class ServiceState:
    """A service that answers.

    Attributes:
        pid: of the process that owns it.
        grpc, http: `host:port` of the doors.
        insecure: whether anybody is let in.
    """

    project: str
    pid: int
    grpc: str
    http: str
    insecure: bool


@dataclass(frozen=True)
class ServicePlace:
    """The files of a project's service."""

    folder: Path
    project: str

    @classmethod
    def of(cls, settings: ServingSettings) -> "ServicePlace":
        return cls(settings.folder, settings.project)

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.project}.lock"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.project}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.project}.log"

    @property
    def settings(self) -> Path:
        """As `up` was told, and `scale` since."""
        return self.folder / f"{self.project}.settings.json"

    @property
    def token(self) -> Path:
        """The token of this machine, in plain; for its owner alone."""
        return local_token_path(self.folder, self.project)

    @property
    def tokens(self) -> Path:
        """Hashes of all tokens that are let in."""
        return tokens_path(self.folder, self.project)

    @property
    def metrics(self) -> Path:
        """What the replicas have counted."""
        return self.folder / f"{self.project}.metrics"

    @property
    def replicas(self) -> Path:
        """What each replica tells of itself."""
        return self.folder / f"{self.project}.replicas"

    def is_held(self) -> bool:
        """Whether a service runs, or is about to."""
        if not self.lock.exists():
            return False
        with self.lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def find(self) -> ServiceState:
        """The service that answers. Raises NotFoundError if none does."""
        state = self.read()
        if state is None:
            raise NotFoundError(f"no service of {self.project} runs from {self.folder}")
        return state

    def read(self) -> ServiceState | None:
        """The service that answers, if one does."""
        if not (self.is_held() and self.state.exists()):
            return None
        return ServiceState(**json.loads(self.state.read_bytes()))
