"""Where everything that Athanor writes lies: one folder, `.athanor` in the working directory unless told otherwise."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VARIABLE: Final = "ATHANOR_HOME"
STORE_VARIABLE: Final = "ATHANOR_STORE_URL"


@dataclass(frozen=True)
class Home:
    """The folders below a home. Asking for one creates nothing; whoever writes first makes it."""

    path: Path

    @classmethod
    def find(cls, given: Path | None = None) -> "Home":
        """The given folder, else that of the environment variable ATHANOR_HOME, else `.athanor` here. Absolute."""
        return cls((given or Path(os.environ.get(VARIABLE) or ".athanor")).absolute())

    @property
    def raw(self) -> Path:
        """Raw input as it came, by project and digest."""
        return self.path / "raw"

    @property
    def datasets(self) -> Path:
        """One Delta table for each project."""
        return self.path / "datasets"

    @property
    def quarantine(self) -> Path:
        """Rows that were set aside, by project."""
        return self.path / "quarantine"

    @property
    def reports(self) -> Path:
        """Pages about data, by project."""
        return self.path / "reports"

    @property
    def searches(self) -> Path:
        """What searches have found so far, by project: one that was interrupted goes on from there."""
        return self.path / "searches"

    @property
    def candidates(self) -> Path:
        """Releases as training wrote them, before one is registered."""
        return self.path / "candidates"

    @property
    def registry(self) -> Path:
        """Versions, aliases and their history."""
        return self.path / "registry"

    @property
    def store(self) -> Path:
        """The release store: what the registry published and serving reads."""
        return self.path / "store"

    @property
    def store_url(self) -> str:
        """The release store that is used: that of the environment variable ATHANOR_STORE_URL, else `store`."""
        return os.environ.get(STORE_VARIABLE) or str(self.store)

    @property
    def service(self) -> Path:
        """Process number, endpoints and logs of the service that runs from this home."""
        return self.path / "service"


def local_token_path(service: Path, project: str) -> Path:
    """The token that clients and commands of this machine use: in plain, for its owner alone.

    Args:
        service: the folder of the service, as in `Home.service`.
    """
    return service / f"{project}.token"
