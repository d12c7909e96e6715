"""A service as a process of its own: up, down, and how the two find each other.

`up` starts `run` as a detached process. `run` holds a lock for its whole life: whoever can take the lock knows that
there is no service, whatever numbers processes have. When it answers, it writes its state beside the lock.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from athanor.atomic import replace_file
from athanor.errors import NotFoundError, ServiceError, SettingsError
from athanor.features.features import Model
from athanor.progress import Progress
from athanor.projects import load
from athanor.release.store import ReleaseStore
from athanor.serving.cluster import deploy, local_ray, undeploy
from athanor.serving.core import Core
from athanor.serving.settings import ServingSettings, is_free

_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class ServiceState:
    """A service that answers.

    Attributes:
        pid: of the process that owns it.
        grpc, http: `host:port` of the doors.
    """

    project: str
    pid: int
    grpc: str
    http: str


@dataclass(frozen=True)
class ServicePlace:
    """Where a project's service keeps its lock, state and log."""

    folder: Path
    project: str

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.project}.lock"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.project}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.project}.log"

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

    def read(self) -> ServiceState | None:
        """The service that answers, if one does."""
        if not (self.is_held() and self.state.exists()):
            return None
        return ServiceState(**json.loads(self.state.read_bytes()))


def up(settings: ServingSettings, place: ServicePlace, command: Sequence[str], progress: Progress) -> ServiceState:
    """Starts a service that outlives this process, and returns when it answers.

    Args:
        command: what runs `run` with these settings and this place.

    Raises:
        SettingsError: a service of this project runs already, or a port is taken.
        NotFoundError, ReleaseError: there is no champion that could answer.
        ServiceError: it did not start; names the end of its log.
    """
    if place.is_held():
        raise SettingsError(
            f"a service of {settings.project} runs from {place.folder} already; stop it by `serve down`"
        )
    _check(settings)
    place.folder.mkdir(parents=True, exist_ok=True)
    place.state.unlink(missing_ok=True)
    with progress.step("Start the service") as advance:
        with place.log.open("wb") as log:
            # A session of its own: it neither dies with this terminal nor reads from it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        try:
            state = _wait_until_answering(place, process)
        except BaseException:
            process.terminate()
            process.wait(_STOP_TIMEOUT_S)
            raise
        advance(f"gRPC {state.grpc}, REST {state.http}")
    return state


def _check(settings: ServingSettings) -> None:
    """Finds here, where a person reads it, what would stop the service from starting."""
    if taken := [port for port in (settings.http_port, settings.grpc_port) if not is_free(port)]:
        raise SettingsError(
            f"port {' and '.join(map(str, taken))} is taken; choose another by --http-port, --grpc-port"
        )
    model, store = load(settings.project, "model", Model), ReleaseStore(settings.store)
    Core(model, store, settings.max_rows, settings.require_signature)


def _wait_until_answering(place: ServicePlace, process: "subprocess.Popen[bytes]") -> ServiceState:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if place.state.exists():
            return ServiceState(**json.loads(place.state.read_bytes()))
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    end = place.log.read_text(errors="replace")[-2000:]
    raise ServiceError(f"the service did not start; its log {place.log} ends with\n{end}")


def down(place: ServicePlace, progress: Progress) -> None:
    """Stops a service and returns when it and all it started are gone.

    Raises:
        NotFoundError: none runs.
        ServiceError: it does not stop.
    """
    state = place.read()
    if state is None:
        raise NotFoundError(f"no service of {place.project} runs from {place.folder}")
    with progress.step("Stop the service"):
        os.kill(state.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while place.is_held():
            if time.monotonic() > deadline:
                raise ServiceError(f"process {state.pid} did not stop within {_STOP_TIMEOUT_S:g} s; see {place.log}")
            time.sleep(_POLL_S)


def run(settings: ServingSettings, place: ServicePlace) -> None:
    """Serves until SIGTERM or SIGINT, in this process and those it starts; none of them outlives it.

    Raises:
        SettingsError: a service of this project runs already.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    _hold(place)
    with _scratch_folder() as scratch, local_ray(scratch):
        # Only now: Ray sets handlers of its own when it starts.
        for number in _STOP_SIGNALS:
            signal.signal(number, _stop)
        try:
            deploy(settings)
            state = ServiceState(
                settings.project,
                os.getpid(),
                grpc=f"{settings.host}:{settings.grpc_port}",
                http=f"{settings.host}:{settings.http_port}",
            )
            replace_file(place.state, json.dumps(asdict(state)).encode())
            while True:
                signal.pause()
        except _Stopped:
            pass
        finally:
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            place.state.unlink(missing_ok=True)
            undeploy()


class _Stopped(BaseException):
    """Somebody told this process to end. No error: nothing on the way may take it for one."""


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def _hold(place: ServicePlace) -> None:
    """Takes the lock. It is never closed: only the end of this process releases it."""
    lock = os.open(place.lock, os.O_WRONLY | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingsError(f"a service of {place.project} runs from {place.folder} already") from None


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    # In /tmp whatever TMPDIR says, since the paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="ath-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
