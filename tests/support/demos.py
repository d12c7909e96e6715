"""Runs the demo, as a newcomer does."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.commands import run
from support.processes import nothing_survives

from athanor.home import Home
from athanor.serving.setup.paths import ServicePaths

_PROJECT: Final = "flight_delay"
_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True)
class Demo:
    """A demo that kept its service.

    Attributes:
        table, progress: its output for people, and its progress.
        grpc, http: `host:port` of the doors.
    """

    home: Home
    table: str
    progress: str
    grpc: str
    http: str

    @property
    def authorization(self) -> tuple[str, str]:
        """The token, as metadata of gRPC or as a header of HTTP."""
        token = ServicePaths(self.home.service, _PROJECT).token.read_text().strip()
        return ("authorization", f"Bearer {token}")

    def copy_home(self, to: Path) -> Home:
        """A home with the same data, registry and store, but without the service."""
        shutil.copytree(self.home.path, to, ignore=shutil.ignore_patterns(self.home.service.name))
        return Home(to)


def run_demo(home: Home, *flags: str) -> tuple[str, str]:
    """Runs the demo in a home; returns its output and its progress."""
    done = run("app", "demo", "--home", home.path, *flags, timeout_s=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@contextmanager
def kept_demo(home: Home) -> Iterator[Demo]:
    """A demo in an empty home. Its service answers within the context, and no process of it survives."""
    with nothing_survives():
        table, progress = run_demo(home, "--keep")
        try:
            service = _find_service(home)
            yield Demo(home, table, progress, service["grpc"], service["http"])
        finally:
            down = run("app", "serve", "down", _PROJECT, "--home", home.path)
            assert down.returncode == 0, down.stderr


def _find_service(home: Home) -> dict[str, Any]:
    status = run("app", "serve", "status", _PROJECT, "--home", home.path, "--json")
    assert status.returncode == 0, status.stderr
    service: dict[str, Any] = json.loads(status.stdout)["service"]
    return service
