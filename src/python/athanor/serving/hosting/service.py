"""A service as a process of its own: up, down, scale, and how others find it.

`up` starts `run` as a detached process. `run` holds a lock for its whole life: while another process can take the lock,
no service runs, whatever process numbers say. When it answers, it writes its state beside the lock.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from athanor.cluster.scratch import scratch_folder
from athanor.errors import ServiceError, SettingsError
from athanor.features.features import Model
from athanor.progress import Progress
from athanor.projects import load
from athanor.release.store import ReleaseStore
from athanor.serving.access.token_file import local_token
from athanor.serving.answering.variants import prove_releases
from athanor.serving.hosting.application import deploy, serving_ray, undeploy
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePaths, ServiceState, find_trust
from athanor.serving.setup.ports import is_free
from athanor.serving.setup.settings import (
    ENVIRONMENT_PREFIX,
    MAX_REPLICAS,
    ServingSettings,
    make_settings,
    read_settings_file,
)
from athanor.system.atomic import replace_file
from athanor.system.kept_code import keep_code
from athanor.system.locks import acquire

_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 60.0
_SCALE_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.05
_LOOK_S: Final = 1.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_logger = logging.getLogger(__name__)


def up(settings: ServingSettings, command: Sequence[str], progress: Progress) -> ServiceState:
    """Starts a service that outlives this process, and returns when it answers.

    Args:
        command: runs `run` with the settings in the service's folder.

    Raises:
        SettingsError: a service of this project runs already, or a port is taken.
        NotFoundError, ReleaseError: there is no champion that could answer.
        ServiceError: it did not start; quotes the end of its log.
    """
    place = ServicePaths.of(settings)
    place.require_no_cluster()
    if place.is_held():
        raise SettingsError(
            f"a service of {settings.project} runs from {place.folder} already; stop it by `serve down`"
        )
    _check_ports(settings)
    place.state.unlink(missing_ok=True)
    replace_file(place.settings, settings.model_dump_json(indent=2, exclude_none=True).encode())
    with progress.step("Start the service") as advance:
        place.log.write_bytes(b"")
        # Replicas append to it as well.
        with place.log.open("ab") as log:
            # A session of its own: it neither dies with this terminal nor reads from it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(place),
            )
        try:
            # While it starts: what would stop it is reported here, where a person reads it.
            _check_traffic(settings)
            state = _wait_until_answering(place, process)
        except BaseException:
            process.terminate()
            process.wait(_STOP_TIMEOUT_S)
            raise
        advance(f"gRPC {state.grpc}, REST {state.http}")
    return state


def _environment(place: ServicePaths) -> dict[str, str]:
    """The service's environment. Its settings are in a file; a variable would override what a flag has said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    return {**inherited, **keep_code(place.code)}


def _check_ports(settings: ServingSettings) -> None:
    if taken := [port for port in (settings.http_port, settings.grpc_port) if not is_free(port)]:
        raise SettingsError(
            f"port {' and '.join(map(str, taken))} is taken; choose another by --http-port, --grpc-port"
        )


def _check_traffic(settings: ServingSettings) -> None:
    model, store = load(settings.project, "model", Model), ReleaseStore(settings.store)
    prove_releases(model, store, find_trust(settings))


def _wait_until_answering(place: ServicePaths, process: "subprocess.Popen[bytes]") -> ServiceState:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if place.state.exists():
            return ServiceState(**json.loads(place.state.read_bytes()))
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    end = place.log.read_text(errors="replace")[-2000:]
    raise ServiceError(f"the service did not start; its log {place.log} ends with\n{end}")


def down(place: ServicePaths, progress: Progress) -> None:
    """Stops a service and returns when it and all it started are gone.

    Raises:
        NotFoundError: no service runs.
        ServiceError: it does not stop.
    """
    place.require_no_cluster()
    state = place.find()
    with progress.step("Stop the service"):
        os.kill(state.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while place.is_held():
            if time.monotonic() > deadline:
                raise ServiceError(f"process {state.pid} did not stop within {_STOP_TIMEOUT_S:g} s; see {place.log}")
            time.sleep(_POLL_S)


def scale(place: ServicePaths, replicas: int, progress: Progress) -> None:
    """Changes the number of replicas of a running service, and returns when it is reached.

    Raises:
        NotFoundError: no service runs.
        SettingsError: the number is out of range, or the replicas scale by themselves.
        ServiceError: the number was not reached in time.
    """
    place.require_no_cluster()
    state = place.find()
    settings = read_settings(place)
    if settings.max_replicas is not None:
        raise SettingsError("the replicas of this service scale by themselves; start it without max_replicas")
    if not 1 <= replicas <= MAX_REPLICAS:
        raise SettingsError(f"cannot scale to {replicas} replicas; give a number from 1 to {MAX_REPLICAS}")
    changed = settings.model_copy(update={"replicas": replicas})
    replace_file(place.settings, changed.model_dump_json(indent=2, exclude_none=True).encode())
    statuses = StatusFolder(place.replicas)
    with progress.step(f"Scale to {replicas}") as advance:
        os.kill(state.pid, signal.SIGHUP)
        deadline = time.monotonic() + _SCALE_TIMEOUT_S
        while (running := len(statuses.read())) != replicas:
            if time.monotonic() > deadline:
                raise ServiceError(f"{running} of {replicas} replicas after {_SCALE_TIMEOUT_S:g} s; see {place.log}")
            time.sleep(_POLL_S)
        advance(f"{running} replicas")


def read_settings(place: ServicePaths) -> ServingSettings:
    """Reads the settings of a service from its folder."""
    return make_settings(**read_settings_file(place.settings))


def run(settings: ServingSettings) -> None:
    """Serves until SIGTERM or SIGINT, in this process and those it starts; none of them outlives it.

    At SIGHUP it scales to the number of replicas in its settings file.

    Raises:
        SettingsError: a service of this project runs already.
    """
    place = ServicePaths.of(settings)
    _hold(place)
    for stale in (place.replicas, place.metrics):
        shutil.rmtree(stale, ignore_errors=True)
    if not settings.insecure:
        local_token(place.folder, place.project)
    rescale = threading.Event()
    with scratch_folder() as scratch, _abandoned_by_signals(scratch), serving_ray(scratch, settings):
        # Only now: Ray sets handlers of its own when it starts.
        for number in _STOP_SIGNALS:
            signal.signal(number, _stop)
        signal.signal(signal.SIGHUP, lambda number, frame: rescale.set())
        try:
            deploy(settings)
            state = ServiceState(
                settings.project,
                os.getpid(),
                grpc=f"{settings.host}:{settings.grpc_port}",
                http=f"{settings.host}:{settings.http_port}",
                insecure=settings.insecure,
            )
            replace_file(place.state, json.dumps(asdict(state)).encode())
            while rescale.wait():
                rescale.clear()
                _rescale(settings, read_settings(place).replicas)
        except _Stopped:
            pass
        finally:
            for number in (*_STOP_SIGNALS, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            place.state.unlink(missing_ok=True)
            undeploy()


@contextmanager
def _abandoned_by_signals(scratch: Path) -> Iterator[None]:
    """Until other handlers are set, a signal ends this process at once, and its children end with it."""

    def abandon(number: int, frame: object) -> None:
        # Not by an exception, which Ray and the interpreter's imports do not survive while they start.
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)

    for number in _STOP_SIGNALS:
        signal.signal(number, abandon)
    yield


def _rescale(settings: ServingSettings, replicas: int) -> None:
    try:
        deploy(settings.model_copy(update={"replicas": replicas}))
    except RuntimeError:
        # Serve raises this for replicas that did not start; the others still answer.
        _logger.exception("the service could not be scaled to %s", replicas)


class _Stopped(BaseException):
    """A signal asks this process to end. It is not an error, and no handler of errors may catch it."""


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def _hold(place: ServicePaths) -> None:
    """Takes the lock for the life of this process."""
    try:
        # A process that looks whether it is held holds it for a moment.
        acquire(place.lock, timeout_s=_LOOK_S)
    except TimeoutError:
        raise SettingsError(f"a service of {place.project} runs from {place.folder} already") from None
