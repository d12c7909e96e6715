"""Starts and stops a service by its command line."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from support.commands import run

from athanor.home import Home
from athanor.serving.settings import find_free_ports

PROJECT: Final = "flight_delay"
_RETRIES: Final = 3


@dataclass(frozen=True)
class Service:
    """A service that answers.

    Attributes:
        pid: of the process that owns it.
        grpc, http: `host:port` of its doors.
    """

    home: Home
    pid: int
    grpc: str
    http: str

    @property
    def ports(self) -> tuple[int, int]:
        return int(self.http.rpartition(":")[2]), int(self.grpc.rpartition(":")[2])


@contextmanager
def running_service(home: Home) -> Iterator[Service]:
    """A service of a home's champion on free ports, for as long as the context lasts. May be stopped within."""
    service = _start(home)
    try:
        yield service
    finally:
        stopped = run("serving", "down", PROJECT, "--home", home.path)
        assert stopped.returncode == 0 or "no service" in stopped.stderr, stopped.stderr


def _start(home: Home) -> Service:
    started = _up(home)
    for _ in range(_RETRIES):
        # Somebody else may have taken a port since it was found free.
        if "is taken" in started.stderr or "Address already in use" in started.stderr:
            started = _up(home)
    assert started.returncode == 0, started.stderr
    state = json.loads(started.stdout)
    return Service(home, state["pid"], state["grpc"], state["http"])


def _up(home: Home) -> "subprocess.CompletedProcess[str]":
    http_port = find_free_ports(2)
    ports = ("--http-port", http_port, "--grpc-port", http_port + 1)
    return run("serving", "up", PROJECT, "--home", home.path, *ports, "--json")
