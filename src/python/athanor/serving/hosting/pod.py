"""What a pod of KubeRay runs: Ray as the operator asks for it, with HAProxy as this service needs it.

python -m athanor.serving.hosting.pod HOST HTTP_PORT GRPC_PORT CONNECTIONS CONNECTIONS_PER_ADDRESS ANSWER_S
    REQUIRES_TOKEN
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Final

from athanor.cluster.haproxy.rules import DoorLimits
from athanor.cluster.haproxy.script import write_haproxy_script
from athanor.cluster.ray_environment import HAPROXY_VARIABLE, KUBERAY_VARIABLE
from athanor.cluster.ray_internals import RAY_PROGRAM, require_known_version
from athanor.errors import SettingsError

SCRATCH: Final = Path("/tmp/athanor")  # noqa: S108 - a pod shares it with no other


def ray_command(start_command: str) -> list[str]:
    """Returns the operator's `ray start …` as this binary runs it.

    Raises:
        SettingsError: it is another command, or empty.
    """
    words = shlex.split(start_command)
    if words[:2] != ["ray", "start"]:
        raise SettingsError(
            f"{KUBERAY_VARIABLE} is {start_command!r}, not the `ray start` of KubeRay; annotate the RayService with "
            "ray.io/overwrite-container-cmd: 'true'"
        )
    return [sys.executable, "-m", RAY_PROGRAM, *words[1:]]


def main(
    host: str,
    http_port: str,
    grpc_port: str,
    connections: str,
    connections_per_address: str,
    answer_s: str,
    requires_token: str,
) -> None:
    """Becomes Ray's process, whose end HAProxy follows."""
    require_known_version()
    command = ray_command(os.environ.get(KUBERAY_VARIABLE, ""))
    SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
    limits = DoorLimits(
        int(connections), int(connections_per_address), float(answer_s), requires_token=requires_token == str(True)
    )
    write_haproxy_script(Path(os.environ[HAPROXY_VARIABLE]), (host, http_port, grpc_port), limits)
    os.execv(command[0], command)  # noqa: S606 - it is to be the pod's process, not a child


if __name__ == "__main__":
    main(*sys.argv[1:])
