"""A process that stands in for a service, where only its life matters: it holds the lock and writes its state."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from athanor.serving.setup.paths import ServicePaths

# It works as `run` does, without Ray: at SIGHUP it writes a status for each replica, at SIGTERM it goes.
_PROGRAM: Final = """
import fcntl, json, os, signal, sys
from pathlib import Path

def take(path):
    held = os.open(path, os.O_WRONLY | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)

lock, state, settings, replicas, status = map(Path, sys.argv[1:])
take(lock)
started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
lock.write_text(f"{os.getpid()}:{started}")
wanted = {signal.SIGHUP, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
found = {"service": "delays", "models": ["delays"], "pid": os.getpid(), "grpc": "h:1", "http": "h:2", "insecure": True}
state.with_suffix(".new").write_text(json.dumps(found))
state.with_suffix(".new").rename(state)
running = set()
while signal.sigwait(wanted) == signal.SIGHUP:
    count = json.loads(settings.read_text())["replicas"]
    replicas.mkdir(exist_ok=True)
    for number in range(3):
        path = replicas / f"{number}.json"
        if number >= count:
            path.unlink(missing_ok=True)
            continue
        if number not in running:
            take(path.with_suffix(".lock"))
            running.add(number)
        path.with_suffix(".new").write_text(status.read_text().replace("4194305", str(number)))
        path.with_suffix(".new").rename(path)
state.unlink()
"""


def command_of(paths: ServicePaths, status: Path) -> Sequence[str]:
    """Args: status: file of a replica's status, whose process is 4194305."""
    files = (paths.lock, paths.state, paths.settings, paths.replicas, status)
    return [sys.executable, "-c", _PROGRAM, *map(str, files)]
