"""A process that stands in for a service, where only its life is of interest: it holds the lock and tells its state."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from athanor.serving.setup.paths import ServicePaths

# It works as `run` does, without Ray: at SIGHUP it writes a status for each replica, at SIGTERM it goes.
_PROGRAM: Final = """
import fcntl, json, os, signal, sys
from pathlib import Path

lock, state, settings, replicas, status = map(Path, sys.argv[1:])
held = os.open(lock, os.O_WRONLY | os.O_CREAT)
fcntl.flock(held, fcntl.LOCK_EX)
wanted = {signal.SIGHUP, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
told = {"project": "delays", "pid": os.getpid(), "grpc": "h:1", "http": "h:2", "insecure": True}
state.with_suffix(".new").write_text(json.dumps(told))
state.with_suffix(".new").rename(state)
while signal.sigwait(wanted) == signal.SIGHUP:
    # Processes that live: this one, and those above it.
    living = [os.getpid(), os.getppid(), 1]
    count = json.loads(settings.read_text())["replicas"]
    replicas.mkdir(exist_ok=True)
    for number, pid in enumerate(living):
        path = replicas / f"{pid}.json"
        if number < count:
            path.with_suffix(".new").write_text(status.read_text().replace("4194305", str(pid)))
            path.with_suffix(".new").rename(path)
        else:
            path.unlink(missing_ok=True)
state.unlink()
"""


def command_of(place: ServicePaths, status: Path) -> Sequence[str]:
    """Args: status: file of a replica's status, whose process is 4194305."""
    paths = (place.lock, place.state, place.settings, place.replicas, status)
    return [sys.executable, "-c", _PROGRAM, *map(str, paths)]
