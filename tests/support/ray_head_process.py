"""A Ray head until its standard input ends: `cpus folder`. Prints its address. Knows nothing of ours."""

import sys
from typing import Any

import ray
from ray._private.node import Node


def _start_nothing(self: Any, **options: object) -> None:
    pass


def main() -> None:
    # Nobody asks for them here, and each takes its time to start.
    for name in ("start_monitor", "start_log_monitor", "start_api_server"):
        setattr(Node, name, _start_nothing)
    ray.init(
        address="local",
        num_cpus=int(sys.argv[1]),
        object_store_memory=128 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=sys.argv[2],
    )
    sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
