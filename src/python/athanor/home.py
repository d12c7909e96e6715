"""The one folder that Athanor writes to: `.athanor` in the working directory by default."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VARIABLE: Final = "ATHANOR_HOME"
STORE_VARIABLE: Final = "ATHANOR_STORE_URL"


@dataclass(frozen=True)
class Home:
    """Folders below a home. Reading a path creates nothing; the first writer makes the folder."""

    path: Path

    @classmethod
    def find(cls, given: Path | None = None) -> "Home":
        """The given folder, else the environment variable ATHANOR_HOME, else `.athanor` here; as an absolute path."""
        return cls((given or Path(os.environ.get(VARIABLE) or ".athanor")).absolute())

    @property
    def raw(self) -> Path:
        """Raw input, unchanged, by model and digest."""
        return self.path / "raw"

    @property
    def datasets(self) -> Path:
        """One Delta table per model."""
        return self.path / "datasets"

    @property
    def quarantine(self) -> Path:
        """Rejected rows, by model."""
        return self.path / "quarantine"

    @property
    def reports(self) -> Path:
        """Pages about data, by project."""
        return self.path / "reports"

    @property
    def searches(self) -> Path:
        """Results of searches so far, by model: an interrupted search resumes from them."""
        return self.path / "searches"

    @property
    def candidates(self) -> Path:
        """Releases that training wrote, before registration, by model."""
        return self.path / "candidates"

    @property
    def registry(self) -> Path:
        """Versions, aliases and their history."""
        return self.path / "registry"

    @property
    def store(self) -> Path:
        """The release store: the registry publishes to it, and serving reads from it."""
        return self.path / "store"

    @property
    def store_url(self) -> str:
        """The release store in use: the environment variable ATHANOR_STORE_URL, else `store`."""
        return os.environ.get(STORE_VARIABLE) or str(self.store)

    @property
    def service(self) -> Path:
        """State, settings, tokens and logs of the services that run from this home."""
        return self.path / "service"


def local_token_path(folder: Path, service: str) -> Path:
    """The token that clients and commands of this machine use: in plain, for its owner alone.

    Args:
        folder: of services, as `Home.service`.
        service: name of the service.
    """
    return folder / f"{service}.token"


def service_state_path(folder: Path, service: str) -> Path:
    """Where a service answers, and for which models. Arguments as `local_token_path`."""
    return folder / f"{service}.json"


def service_lock_path(folder: Path, service: str) -> Path:
    """Lock that a service holds while it runs. Arguments as `local_token_path`."""
    return folder / f"{service}.lock"
