"""Starts and stops a service by its command line."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.commands import run
from support.processes import Process, find_session

from athanor.home import Home
from athanor.serving.replica.status import ModelStatus, ReplicaStatus, StatusFolder
from athanor.serving.setup.paths import ServicePaths
from athanor.serving.setup.ports import find_free_ports

PROJECT: Final = "delays"
_RETRIES: Final = 3


@dataclass(frozen=True)
class Service:
    """A service that answers callers with a token.

    Attributes:
        name: files are named by it.
        pid: of the process that owns it.
        grpc, http: `host:port` of its doors.
    """

    home: Home
    name: str
    pid: int
    grpc: str
    http: str

    @property
    def ports(self) -> tuple[int, int]:
        return int(self.http.rpartition(":")[2]), int(self.grpc.rpartition(":")[2])

    @property
    def place(self) -> ServicePaths:
        return ServicePaths(self.home.service, self.name)

    @property
    def token(self) -> str:
        """That of this machine, which `up` has made."""
        return self.place.token.read_text().strip()

    @property
    def authorization(self) -> tuple[str, str]:
        """What lets a request in, as metadata of gRPC or as a header of HTTP."""
        return ("authorization", f"Bearer {self.token}")

    @property
    def replicas(self) -> list[ReplicaStatus]:
        """The status of each."""
        return StatusFolder(self.place.replicas).read()

    @property
    def statuses(self) -> list[ModelStatus]:
        """The status of the project in each replica."""
        return [replica.models[PROJECT] for replica in self.replicas]

    def status(self) -> tuple[int, Any]:
        """Exit status of `status`, and what it shows."""
        done = run("serving", "status", self.name, "--home", self.home.path, "--json")
        return done.returncode, json.loads(done.stdout)

    @property
    def log(self) -> str:
        return self.place.log.read_text(errors="replace")

    def find_processes(self, name: str) -> set[Process]:
        """Those of its processes whose command has a name in it."""
        return {process for process in find_session(self.pid) if name in process.command}


@contextmanager
def running_service(
    home: Home, *flags: object, models: Sequence[str] = (PROJECT,), cwd: Path | None = None
) -> Iterator[Service]:
    """A service of a home on free ports, for as long as the context lasts. May be stopped within.

    Args:
        flags: of `up`.
        models: names or patterns of what it serves; none for every model of the store.
        cwd: folder that it is started in.
    """
    service = _start(home, (*models, *flags), cwd)
    try:
        yield service
    finally:
        stopped = run("serving", "down", service.name, "--home", home.path)
        assert stopped.returncode == 0 or "no service" in stopped.stderr, stopped.stderr


def _start(home: Home, arguments: tuple[object, ...], cwd: Path | None) -> Service:
    started = up(home, *arguments, cwd=cwd)
    for _ in range(_RETRIES):
        # Another process may have taken a port since it was found free.
        if "is taken" in started.stderr or "Address already in use" in started.stderr:
            started = up(home, *arguments, cwd=cwd)
    assert started.returncode == 0, started.stderr
    state = json.loads(started.stdout)
    return Service(home, state["service"], state["pid"], state["grpc"], state["http"])


def up(home: Home, *arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs `up` on free ports."""
    http_port = find_free_ports(2)
    ports = ("--http-port", http_port, "--grpc-port", http_port + 1)
    return run("serving", "up", *arguments, "--home", home.path, *ports, "--json", cwd=cwd)
