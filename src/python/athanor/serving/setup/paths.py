"""Files of a service: where it answers, its log, its tokens."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from athanor.errors import NotFoundError, ServiceError, SettingsError
from athanor.home import local_token_path, service_lock_path, service_state_path
from athanor.serving.access.token_file import tokens_path
from athanor.serving.setup.settings import ServingSettings
from athanor.system.locks import is_held
from athanor.system.processes import ProcessId, find_owner

NODE_VARIABLE: Final = "ATHANOR_INNER_NODE"

_SETTINGS: Final = ".settings.json"


def node_name() -> str | None:
    """Name of this node of a cluster, for names of files; None for a service on one machine."""
    return os.environ.get(NODE_VARIABLE)


def process_name() -> str:
    """Name of this replica, unique in the cluster: processes of two nodes may share a number."""
    node = node_name()
    return f"{node}-{os.getpid()}" if node else str(os.getpid())


@dataclass(frozen=True)
class ServiceState:
    """A service that answers.

    Attributes:
        models: the names and patterns of the models that it serves.
        pid: of the process that owns it; 0 on a cluster, where no process does.
        grpc, http: `host:port`.
        insecure: whether calls need no token.
        cluster: `host:port` of the cluster that it is deployed on; None for a service of this machine.
    """

    service: str
    models: tuple[str, ...]
    pid: int
    grpc: str
    http: str
    insecure: bool
    cluster: str | None = None


@dataclass(frozen=True)
class ServicePaths:
    """The files of a service."""

    folder: Path
    service: str

    @classmethod
    def of(cls, settings: ServingSettings) -> "ServicePaths":
        return cls(settings.folder, settings.service)

    @property
    def lock(self) -> Path:
        return service_lock_path(self.folder, self.service)

    @property
    def starting(self) -> Path:
        """Lock of the command `up`, until the service answers."""
        return self.folder / f"{self.service}.starting.lock"

    @property
    def state(self) -> Path:
        return service_state_path(self.folder, self.service)

    @property
    def log(self) -> Path:
        node = node_name()
        # Appending to one file from several machines loses lines.
        return self.folder / (f"{self.service}.{node}.log" if node else f"{self.service}.log")

    @property
    def code(self) -> Path:
        """Copy of the sources of a service that was started from sources. A binary needs none."""
        return self.folder / f"{self.service}.code"

    @property
    def settings(self) -> Path:
        """Settings given to `up`, with the replica count of the last `scale`."""
        return self.folder / f"{self.service}{_SETTINGS}"

    @property
    def token(self) -> Path:
        """Token for callers on this machine, in plain text; only its owner can read the file."""
        return local_token_path(self.folder, self.service)

    @property
    def tokens(self) -> Path:
        """Hashes of all accepted tokens."""
        return tokens_path(self.folder, self.service)

    @property
    def metrics(self) -> Path:
        """Counters of the replicas."""
        return self.folder / f"{self.service}.metrics"

    @property
    def replicas(self) -> Path:
        """Status of each replica."""
        return self.folder / f"{self.service}.replicas"

    @property
    def served(self) -> Path:
        """Latest revision of the traffic of each model that was served, where signatures are required."""
        return self.folder / f"{self.service}.served"

    def is_held(self) -> bool:
        """Whether a service runs or is starting."""
        return is_held(self.lock)

    def find_owner(self) -> ProcessId | None:
        """The process of the service that runs or is starting."""
        return find_owner(self.lock)

    def require_owner(self) -> ProcessId:
        """The process of the service that runs or is starting.

        Raises:
            NotFoundError: no service runs.
            ServiceError: a process holds the lock without being named in it.
        """
        owner = self.find_owner()
        if owner is None:
            if self.is_held():
                raise ServiceError(
                    f"the service {self.service} holds {self.lock}, which does not name its process: it has just"
                    " started, or an older version runs; try again, or end it by its process ID"
                )
            raise self._not_found()
        return owner

    def find(self) -> ServiceState:
        """The service that answers.

        Raises:
            NotFoundError: no service runs.
            ServiceError: it is starting or stopping.
        """
        state = self.read()
        if state is not None:
            return state
        if self.is_held():
            raise ServiceError(f"the service {self.service} in {self.folder} is starting or stopping; see {self.log}")
        raise self._not_found()

    def _not_found(self) -> NotFoundError:
        return NotFoundError(f"no service {self.service} runs from {self.folder}; start it with `athanor serve up`")

    def read(self) -> ServiceState | None:
        """The service that answers; None if there is none."""
        try:
            found = json.loads(self.state.read_bytes())
            state = ServiceState(**{**found, "models": tuple(found["models"])})
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            # Absent, or written by no version of ours.
            return None
        # On a cluster no process holds the lock: the service is there until it is undeployed.
        if state.cluster:
            return state
        owner = self.find_owner()
        # The state of a killed service names a process that is not the lock's owner.
        return state if owner is not None and owner.pid == state.pid else None

    def require_no_cluster(self) -> None:
        """Raises SettingsError if the service is deployed on a cluster, which other commands change."""
        state = self.read()
        if state is not None and state.cluster:
            raise SettingsError(
                f"the service {self.service} is deployed on the cluster {state.cluster}; use `serve deploy` and `serve"
                " undeploy`"
            )


def list_running(folder: Path) -> list[str]:
    """Names of the services that run from a folder, are starting, or are deployed on a cluster, sorted."""
    names = sorted(path.name.removesuffix(_SETTINGS) for path in folder.glob(f"*{_SETTINGS}"))
    return [name for name in names if (paths := ServicePaths(folder, name)).is_held() or paths.read() is not None]
