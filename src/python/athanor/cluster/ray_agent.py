"""Runs one of Ray's agents, which then ends with its raylet: `python -m athanor.cluster.ray_agent PROGRAM ARGUMENT…`.

An agent by itself reports the end of its raylet before it ends, and retries for ever where the head is gone too: after
SIGKILL of a service its agents stayed, with 200 MB.
"""

import os
import runpy
import sys

from athanor.system.parents import end_with_parent


def main() -> None:
    end_with_parent(int(os.environ["RAY_RAYLET_PID"]))
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
