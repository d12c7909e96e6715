"""MLflow's own pages on the registry's database, read-only, in the foreground."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Final

from athanor.errors import ServiceError, SettingsError
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking import pages
from athanor.system.code.import_path import child_variables

_GRACE_S: Final = 5.0
_POLL_S: Final = 0.02
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(settings: RegistrySettings, host: str, port: int, token: str) -> None:
    """Runs MLflow's server until SIGINT or SIGTERM; then neither it nor a child of it is left.

    Args:
        token: requests need it.

    Raises:
        SettingsError: the address is taken or unusable.
        ServiceError: the server exited on its own.
    """
    _require_free(host, port)
    command = [sys.executable, "-m", pages.__name__, host, str(port)]
    # The one waiting primitive that a signal handler may use.
    endings: SimpleQueue[int | None] = SimpleQueue()
    with _on_signal(lambda: endings.put(None)):
        # In its own session, all its processes can be stopped together, and Ctrl-C reaches only this process.
        server = subprocess.Popen(command, env=_environment(settings, token), start_new_session=True)
        threading.Thread(target=lambda: endings.put(server.wait()), daemon=True).start()
        status = endings.get()
        _end(server)
    if status is not None:
        raise ServiceError(f"the server of MLflow's pages exited with status {status}; its output is above")


def _require_free(host: str, port: int) -> None:
    is_ipv6 = ":" in host
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if is_ipv6 else socket.AF_INET).close()
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {f'[{host}]' if is_ipv6 else host}:{port}: {error.strerror}; choose another --port"
        ) from None


def _environment(settings: RegistrySettings, token: str) -> Mapping[str, str]:
    """Passes the database's URL and the token in the environment: every user can read a command line."""
    return {
        **os.environ,
        **child_variables(),
        pages.DATABASE: settings.read_only_url,
        pages.ARTIFACTS: settings.artifacts_root,
        pages.TOKEN: token,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # It would start workers for jobs, and there are none.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


@contextmanager
def _on_signal(notify: Callable[[], None]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda *_: notify()) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """Stops all processes of its session, by force after a while, and waits for it."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(_GRACE_S)
    deadline = time.monotonic() + _GRACE_S
    with suppress(ProcessLookupError):
        # With a deadline: a zombie that is never reaped stays in the group.
        while time.monotonic() < deadline:
            os.killpg(server.pid, signal.SIGKILL)
            time.sleep(_POLL_S)
    server.wait()
