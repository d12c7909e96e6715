"""A service in the foreground: Ray, replicas and doors, until a signal, or until a process of Ray's ends.

Serve replaces its own processes when they end, and HAProxy. What it does not replace are the processes of Ray below it:
then the service ends with a reason and status 1, and what started it starts it again: systemd, Docker, Kubernetes.
"""

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from athanor.cluster.addresses import Address
from athanor.cluster.ray_internals import RunningNode
from athanor.cluster.scratch import scratch_folder
from athanor.errors import AthanorError, ServiceError, SettingsError
from athanor.serving.access.token_file import local_token
from athanor.serving.hosting import application
from athanor.serving.hosting.probe import find_fault
from athanor.serving.hosting.service import read_settings
from athanor.serving.replica.status import StatusFolder
from athanor.serving.setup.paths import ServicePaths, ServiceState
from athanor.serving.setup.ports import reserved_ports
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.logs import open_log
from athanor.system.atomic import replace_file
from athanor.system.processes import ProcessId, own

_LOOK_S: Final = 1.0
_POLL_S: Final = 0.2
# Between two looks at whether the service answers at all.
_CHECK_S: Final = 5.0
# For the processes of a service that was killed, which need a moment to give its ports back.
_PORTS_S: Final = 10.0
# For HAProxy to take up replicas that have started.
_DOORS_S: Final = 60.0
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_logger = logging.getLogger(__name__)


def run(settings: ServingSettings) -> None:
    """Serves until SIGTERM or SIGINT, in this process and those it starts; none of them outlives it.

    At SIGHUP it scales to the number of replicas in its settings file.

    Raises:
        SettingsError: a service of this name runs already, or another process has its ports.
        ServiceError: no replica starts.
    """
    paths = ServicePaths.of(settings)
    _hold(paths)
    _clear(paths)
    open_log(paths.log)
    try:
        if not settings.insecure:
            local_token(paths.folder, paths.service)
        # Of a service that `up` did not start as well: `scale` reads and changes them.
        replace_file(paths.settings, settings.model_dump_json(indent=2, exclude_none=True).encode())
        with (
            reserved_ports(settings.http_port, settings.grpc_port, host=settings.host, wait_s=_PORTS_S),
            scratch_folder() as scratch,
            _abandoned_by_signals(scratch),
            application.serving_ray(scratch, settings) as node,
            _ending_with(node, paths, scratch),
        ):
            _serve(settings, paths, scratch)
    except AthanorError as error:
        _logger.error("the service ends: %s", error)
        raise


def _hold(paths: ServicePaths) -> None:
    """Takes the lock for the life of this process."""
    try:
        # A process that looks whether it is held holds it for a moment.
        own(paths.lock, timeout_s=_LOOK_S)
    except TimeoutError:
        raise SettingsError(f"the service {paths.service} runs from {paths.folder} already") from None


def _clear(paths: ServicePaths) -> None:
    """Removes the files of an earlier service, which may have been killed."""
    paths.state.unlink(missing_ok=True)
    for stale in (paths.replicas, paths.metrics):
        shutil.rmtree(stale, ignore_errors=True)
    StatusFolder(paths.replicas).clear_start_failure()


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


@contextmanager
def _ending_with(node: RunningNode, paths: ServicePaths, scratch: Path) -> Iterator[None]:
    """Ends this process as soon as one of Ray's ends, until the context ends."""
    leaving = threading.Event()

    def watch() -> None:
        while not leaving.wait(_POLL_S):
            if ended := node.find_ended():
                _end(node, paths, scratch, f"Ray's {', '.join(ended)} ended; start the service again")

    thread = threading.Thread(target=watch, name="ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()


def _end(node: RunningNode, paths: ServicePaths, scratch: Path, reason: str) -> None:
    """Ends this process with status 1 and without Ray's own shutdown, which waits for processes that are gone."""
    _logger.critical("the service ends: %s", reason)
    print(f"{ServiceError.code} {reason}", file=sys.stderr, flush=True)  # noqa: T201 - as the command's own errors
    paths.state.unlink(missing_ok=True)
    node.stop(graceful=False)
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(ServiceError.exit_status)


class _Stopped(BaseException):
    """A signal asks this process to end. It is not an error, and no handler of errors may catch it."""


def _stop(number: int, frame: object) -> None:
    # Once: a second signal must not cut the drain that the first one began.
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise _Stopped


def _serve(settings: ServingSettings, paths: ServicePaths, scratch: Path) -> None:
    rescale = threading.Event()
    # Only now: Ray sets handlers of its own when it starts.
    for number in _STOP_SIGNALS:
        signal.signal(number, _stop)
    signal.signal(signal.SIGHUP, lambda number, frame: rescale.set())
    try:
        _deploy(settings)
        state = _make_state(settings)
        _wait_for_doors(state)
        replace_file(paths.state, json.dumps(asdict(state)).encode())
        _keep_serving(settings, paths, state, rescale)
    except _Stopped:
        _logger.info("the service stops: it answers what it has accepted, for up to %g s", settings.grace_period_s)
    finally:
        for number in (*_STOP_SIGNALS, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        paths.state.unlink(missing_ok=True)
        application.undeploy(settings.service, settings.grace_period_s, scratch)


def _make_state(settings: ServingSettings) -> ServiceState:
    return ServiceState(
        settings.service,
        settings.models,
        ProcessId.here().pid,
        grpc=str(Address(settings.host, settings.grpc_port)),
        http=str(Address(settings.host, settings.http_port)),
        insecure=settings.insecure,
    )


def _deploy(settings: ServingSettings) -> None:
    try:
        application.deploy(settings)
    except RuntimeError as error:
        raise ServiceError(f"the replicas did not start: {application.explain(settings.service) or error}") from error


def _wait_for_doors(state: ServiceState) -> None:
    """Serve has its replicas before HAProxy knows them at both doors. Raises ServiceError if it never does."""
    deadline = time.monotonic() + _DOORS_S
    while fault := find_fault(state):
        if time.monotonic() > deadline:
            raise ServiceError(f"the replicas run, but {fault}")
        time.sleep(_POLL_S)


def _keep_serving(
    settings: ServingSettings, paths: ServicePaths, state: ServiceState, rescale: threading.Event
) -> None:
    checked = time.monotonic()
    while True:
        if rescale.wait(_POLL_S):
            rescale.clear()
            _rescale(settings, read_settings(paths).replicas)
        if time.monotonic() - checked > _CHECK_S:
            _check(settings, state)
            checked = time.monotonic()


def _rescale(settings: ServingSettings, replicas: int) -> None:
    try:
        application.deploy(settings.model_copy(update={"replicas": replicas}))
    except RuntimeError:
        # Serve raises this for replicas that did not start; the others still answer.
        _logger.exception("the service could not be scaled to %s", replicas)


def _check(settings: ServingSettings, state: ServiceState) -> None:
    """Raises ServiceError if no replica answers and Serve has given up on starting one."""
    if find_fault(state) and application.has_given_up(settings.service):
        raise ServiceError(f"no replica starts: {application.explain(settings.service)}")
