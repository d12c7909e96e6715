"""A service as a process of its own: up, down and scale.

`up` starts `running.run` as a detached process, which holds a lock for its whole life and is named in the lock's file:
while another process can take the lock, no service runs. When it answers, it writes its state beside the lock.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Final

from athanor.errors import ServiceError, SettingsError, StorageError
from athanor.progress import Progress
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePaths, ServiceState
from athanor.serving.setup.ports import require_free
from athanor.serving.setup.repository import prove_models
from athanor.serving.setup.settings import (
    ENVIRONMENT_PREFIX,
    MAX_REPLICAS,
    ServingSettings,
    make_settings,
    read_settings_file,
)
from athanor.serving.setup.storage import find_storage_fault
from athanor.system.atomic import replace_file
from athanor.system.code.kept_code import keep_code
from athanor.system.locks import acquire

_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 60.0
_SCALE_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.05


def up(settings: ServingSettings, command: Sequence[str], progress: Progress) -> ServiceState:
    """Starts a service that outlives this process, and returns when it answers.

    Args:
        command: runs `run` with the settings in the service's folder.

    Raises:
        SettingsError: a service of this name runs already, or is being started; or a port is taken.
        NotFoundError, ReleaseError: as `prove_models`.
        ServiceError: it did not start; quotes the end of its log.
        StorageError: it did not start, and its files cannot be written.
    """
    paths = ServicePaths.of(settings)
    paths.require_no_cluster()
    try:
        lock = acquire(paths.starting, timeout_s=0)
    except TimeoutError:
        raise SettingsError(
            f"another `serve up` is starting the service {settings.service} from {paths.folder}"
        ) from None
    with lock:
        if paths.is_held():
            raise SettingsError(
                f"the service {settings.service} runs from {paths.folder} already; stop it by `serve down"
                f" {settings.service}`, or give this one another --name"
            )
        require_free(settings.http_port, settings.grpc_port, host=settings.host)
        paths.state.unlink(missing_ok=True)
        replace_file(paths.settings, settings.model_dump_json(indent=2, exclude_none=True).encode())
        with progress.step("Start the service") as advance:
            state = _start(settings, paths, command)
            advance(f"gRPC {state.grpc}, REST {state.http}")
    return state


def _start(settings: ServingSettings, paths: ServicePaths, command: Sequence[str]) -> ServiceState:
    paths.log.write_bytes(b"")
    # Replicas append to it as well.
    with paths.log.open("ab") as log:
        # A session of its own: it neither dies with this terminal nor reads from it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=_environment(paths),
        )
    try:
        # While it starts: what would stop it is reported here, where a person reads it.
        prove_models(settings)
        return _wait_until_answering(paths, process)
    except BaseException:
        process.terminate()
        process.wait(_STOP_TIMEOUT_S)
        raise


def _environment(paths: ServicePaths) -> dict[str, str]:
    """The service's environment. Its settings are in a file; a variable would override what a flag has said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    return {**inherited, **keep_code(paths.code)}


def _wait_until_answering(paths: ServicePaths, process: "subprocess.Popen[bytes]") -> ServiceState:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        state = paths.read()
        # Another process may have taken the lock first, as `serve run` does.
        if state is not None and state.pid == process.pid:
            return state
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    # Not before: a start on a disk that is nearly full may succeed.
    if fault := find_storage_fault(paths):
        raise StorageError(f"the service did not start: {fault}; free some space, or choose another --home")
    end = paths.log.read_text(errors="replace")[-2000:]
    raise ServiceError(f"the service did not start; its log {paths.log} ends with\n{end}")


def down(paths: ServicePaths, progress: Progress) -> None:
    """Stops a service, after the requests that it has accepted; returns when it and all it started are gone.

    Raises:
        NotFoundError: no service runs.
        ServiceError: it does not stop, or does not say which process it is.
    """
    paths.require_no_cluster()
    owner = paths.require_owner()
    timeout_s = _STOP_TIMEOUT_S + read_settings(paths).grace_period_s
    with progress.step("Stop the service"):
        owner.send(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while owner.is_alive():
            if time.monotonic() > deadline:
                raise ServiceError(f"process {owner.pid} did not stop within {timeout_s:g} s; see {paths.log}")
            time.sleep(_POLL_S)


def scale(paths: ServicePaths, replicas: int, progress: Progress) -> None:
    """Changes the number of replicas of a running service, and returns when it is reached.

    Raises:
        NotFoundError: no service runs.
        SettingsError: the number is out of range, or the replicas scale by themselves.
        ServiceError: the number was not reached in time.
    """
    paths.require_no_cluster()
    paths.find()
    owner = paths.require_owner()
    settings = read_settings(paths)
    if settings.max_replicas is not None:
        raise SettingsError("the replicas of this service scale by themselves; start it without max_replicas")
    if not 1 <= replicas <= MAX_REPLICAS:
        raise SettingsError(f"cannot scale to {replicas} replicas; give a number from 1 to {MAX_REPLICAS}")
    changed = settings.model_copy(update={"replicas": replicas})
    replace_file(paths.settings, changed.model_dump_json(indent=2, exclude_none=True).encode())
    statuses = StatusFolder(paths.replicas)
    with progress.step(f"Scale to {replicas}") as advance:
        owner.send(signal.SIGHUP)
        timeout_s = _SCALE_TIMEOUT_S + settings.grace_period_s
        deadline = time.monotonic() + timeout_s
        while (running := len(statuses.read())) != replicas:
            if time.monotonic() > deadline:
                raise ServiceError(f"{running} of {replicas} replicas after {timeout_s:g} s; see {paths.log}")
            time.sleep(_POLL_S)
        advance(f"{running} replicas")


def read_settings(paths: ServicePaths) -> ServingSettings:
    """Reads the settings of a service from its folder."""
    return make_settings(**read_settings_file(paths.settings))
