"""Servers as processes: started on free ports of this machine, and stopped with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from athanor.serving.setup.ports import find_free_ports
from serving.comparison.load import Protocol
from serving.comparison.prepare import Prepared

_STOP_S: Final = 30.0
_TAIL: Final = 3_000
# So that nobody tells their makers.
_QUIET: Final = {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
# Each answers on one core of two; a pool of threads for each would only have them wait for one another.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Site:
    """Where servers run.

    Attributes:
        peers: Python with the peers' lock; ours is the one that runs this.
        scratch: for folders of the servers.
    """

    prepared: Prepared
    peers: str
    scratch: Path


@dataclass(frozen=True)
class Server:
    """A server that was started.

    Attributes:
        ports: of its doors, by protocol.
        process: None where a command of its own has started it.
    """

    name: str
    ports: Mapping[Protocol, int]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None, compare=False)

    def demand_running(self) -> None:
        """Raises RuntimeError if the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"{self.name} has ended with {self.process.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL:] if self.log.exists() else ""


@contextmanager
def run_process(
    name: str, module: str, arguments: Sequence[str], site: Site, python: str, port: int
) -> Iterator[Server]:
    """Runs a module as a server with one door at a port, whatever its protocol; the context's end stops it."""
    folder = make_folder(site, name)
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, "-m", f"serving.comparison.{module}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=folder,
            env={**os.environ, **_QUIET, **_ONE_THREAD},
            start_new_session=True,
        )
    try:
        yield Server(name, dict.fromkeys(Protocol, port), log, process)
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and, if it leaves any, those it has started: all of its session's group."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def run_peer(name: str, module: str, way: str, site: Site, *, is_ours: bool = False) -> Iterator[Server]:
    """Runs a peer, with the peers' lock unless it has ours."""
    port = find_free_ports(3)
    arguments = [str(site.prepared.pipeline), str(make_folder(site, name)), str(port), way]
    with run_process(name, module, arguments, site, sys.executable if is_ours else site.peers, port) as server:
        yield server


@contextmanager
def run_bare(name: str, site: Site) -> Iterator[Server]:
    """Runs the bare gRPC server around our core."""
    port = find_free_ports(1)
    with run_process(name, "bare", [str(site.prepared.store), str(port)], site, sys.executable, port) as server:
        yield server


@contextmanager
def run_athanor(
    name: str,
    site: Site,
    flags: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    store: Path | None = None,
) -> Iterator[Server]:
    """Runs our service as people do, by `up` and `down`, with one replica and without tokens.

    Args:
        flags: further ones of `up`.
        variables: of its environment.
        store: the release store; the prepared one by default.
    """
    project, home = site.prepared.model.name, make_folder(site, name)
    port = find_free_ports(2)
    command = [sys.executable, "-m", "athanor.cli.serving.app"]
    environment = {**os.environ, **(variables or {}), "ATHANOR_HOME": str(home)}
    up = [*command, "up", project, f"--store={store or site.prepared.store}", "--insecure", "--json"]
    up += [f"--http-port={port}", f"--grpc-port={port + 1}", *flags]
    started = subprocess.run(up, env=environment, cwd=home, capture_output=True, text=True, check=False)
    if started.returncode:
        raise RuntimeError(f"{name} did not start:\n{started.stdout}{started.stderr}")
    try:
        yield Server(name, {Protocol.HTTP: port, Protocol.GRPC: port + 1}, home / "service" / f"{project}.log")
    finally:
        subprocess.run([*command, "down", project], env=environment, cwd=home, capture_output=True, check=False)


def make_folder(site: Site, name: str) -> Path:
    folder = site.scratch / "".join(letter if letter.isalnum() else "-" for letter in name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
