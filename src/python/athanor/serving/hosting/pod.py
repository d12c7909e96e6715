"""What a pod of KubeRay runs: Ray as the operator asks for it, with HAProxy as this service wants it.

python -m athanor.serving.hosting.pod HOST HTTP_PORT GRPC_PORT
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Final

from athanor.errors import SettingsError
from athanor.serving.hosting.local_ray import wrap_haproxy

SCRATCH: Final = Path("/tmp/athanor")  # noqa: S108 - a pod has it alone
HAPROXY: Final = SCRATCH / "haproxy"
VARIABLE: Final = "KUBERAY_GEN_RAY_START_CMD"


def ray_command(told: str) -> list[str]:
    """The operator's `ray start …` as this binary runs it.

    Raises:
        SettingsError: it is another command, or none.
    """
    words = shlex.split(told)
    if words[:2] != ["ray", "start"]:
        raise SettingsError(
            f"{VARIABLE} is {told!r}, not the `ray start` of KubeRay; annotate the RayService with "
            "ray.io/overwrite-container-cmd: 'true'"
        )
    return [sys.executable, "-m", "ray.scripts.scripts", *words[1:]]


def main(*doors: str) -> None:
    """Becomes Ray's process: what HAProxy belongs to."""
    command = ray_command(os.environ.get(VARIABLE, ""))
    SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
    wrap_haproxy(HAPROXY, doors)
    os.execv(command[0], command)  # noqa: S606 - it is to be the pod's process, not a child


if __name__ == "__main__":
    main(*sys.argv[1:])
