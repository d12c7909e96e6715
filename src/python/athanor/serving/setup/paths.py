"""Where a service keeps what others find it by."""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from athanor.errors import NotFoundError, SettingsError
from athanor.home import local_token_path
from athanor.serving.access.token_file import tokens_path
from athanor.serving.setup.settings import ServingSettings

NODE_VARIABLE: Final = "ATHANOR_INNER_NODE"


def node_name() -> str | None:
    """What tells a node of a cluster from its others, in the names of files; None for a service on one machine."""
    return os.environ.get(NODE_VARIABLE)


def process_name() -> str:
    """What tells a replica from its others: two nodes may have a process of the same number."""
    node = node_name()
    return f"{node}-{os.getpid()}" if node else str(os.getpid())


@dataclass(frozen=True)
class ServiceState:
    """A service that answers.

    Attributes:
        pid: of the process that owns it; of none on a cluster, where it is 0.
        grpc, http: `host:port` of the doors.
        insecure: whether anybody is let in.
        cluster: `host:port` of the cluster that it is deployed on; None for a service of this machine.
    """

    project: str
    pid: int
    grpc: str
    http: str
    insecure: bool
    cluster: str | None = None


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
        node = node_name()
        # Appending to one file from several machines loses lines.
        return self.folder / (f"{self.project}.{node}.log" if node else f"{self.project}.log")

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
        try:
            state = ServiceState(**json.loads(self.state.read_bytes()))
        except FileNotFoundError:
            return None
        # On a cluster it belongs to no process: it is there until it is undeployed.
        return state if state.cluster or self.is_held() else None

    def require_no_cluster(self) -> None:
        """Raises SettingsError if the project is deployed on a cluster from here: other commands change it there."""
        state = self.read()
        if state is not None and state.cluster:
            raise SettingsError(
                f"{self.project} is deployed on the cluster {state.cluster}; use `serve deploy` and `serve undeploy`"
            )
