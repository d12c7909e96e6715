"""Ray for as long as a command runs: one of its own on this machine, or a cluster that others have started."""

import ipaddress
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from athanor.cluster.token import ray_authentication
from athanor.errors import ServiceError, SettingsError
from athanor.system.running_code import RunningCode

_OBJECT_STORE_BYTES: Final = 1024**3
_KNOCK_S: Final = 5.0
_CHECK_S: Final = 120.0
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_LOG_LEVEL": "ERROR",
}


@contextmanager
def local_ray() -> Iterator[None]:
    """Runs Ray on this machine for as long as the context lasts. Nothing of it can be reached from other machines."""
    os.environ.update(
        {
            **_QUIET,
            # Keeps the node on 127.0.0.1: Ray's own servers then listen there only.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # Workers are new interpreters: what this one finds, they must find.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
    )
    import ray

    # The paths of sockets may have 107 bytes: they lie in a short one.
    scratch = tempfile.mkdtemp(prefix="athanor-", dir="/tmp")
    try:
        ray.init(
            address="local",
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=scratch,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def joined_ray(address: str, token_file: Path | None, shared: Path) -> Iterator[None]:
    """Joins a cluster for as long as the context lasts. This machine must be one of its nodes.

    Args:
        address: of the head, "host:port".
        token_file: with the cluster's token; see `athanor.cluster.token`.
        shared: folder that all nodes must see under this path: the home.

    Raises:
        SettingsError: the address is none, or there is no token.
        ServiceError: no cluster answers, it refuses the token, this machine is no node of it, or a node could not
            compute what this process does.
    """
    host, port = _split(address)
    os.environ.update({**_QUIET, **ray_authentication(token_file), **_impatience(), **_reach(host)})
    # It would be preferred to the file.
    os.environ.pop("RAY_AUTH_TOKEN", None)
    _knock(host, port)
    import ray

    try:
        _connect(ray, address)
        _check_nodes(ray, address, shared)
        yield
    finally:
        ray.shutdown()


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise SettingsError(f"--address {address!r} is no address of a Ray head; write host:port, as 10.0.0.7:6379")
    return host.strip("[]"), int(port)


def _impatience() -> dict[str, str]:
    """Whoever is refused once is refused for good, and is told so in our words."""
    return {"RAY_NUM_REDIS_GET_RETRIES": "1"}


def _reach(host: str) -> dict[str, str]:
    """Ray takes a head on loopback for one at another address of this machine, unless told that it keeps there."""
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if _is_loopback(host) else {}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _knock(host: str, port: int) -> None:
    """Ray itself would try for two minutes."""
    try:
        socket.create_connection((host, port), _KNOCK_S).close()
    except OSError as error:
        raise ServiceError(f"no Ray head answers at {host}:{port}: {error}; is its node up?") from None


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        # Ray keeps to itself which of the two it was.
        raise ServiceError(
            f"what answers at {address} does not let us in ({error}); it is no Ray head, or has another token than the "
            "one in --ray-token-file"
        ) from None
    except RuntimeError as error:
        raise ServiceError(
            f"the cluster at {address} cannot be joined: {error}; run the command on one of its nodes"
        ) from None


def _check_nodes(ray: Any, address: str, shared: Path) -> None:
    """Every node must have our code and see our home, before it is given work that it would do otherwise."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not ray.cluster_resources().get("CPU"):
        raise ServiceError(f"the cluster at {address} offers no processors to work on; join nodes that have some")
    mark = shared / f".cluster-{secrets.token_hex(8)}"
    shared.mkdir(parents=True, exist_ok=True)
    mark.touch(exist_ok=False)
    try:
        check = ray.remote(num_cpus=0, max_retries=0)(check_worker)
        checks = {
            node["NodeManagerAddress"]: check.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(RunningCode.here(), mark)
            for node in ray.nodes()
            if node["Alive"]
        }
        problems = [f"{name} {told}" for name, found in checks.items() if (told := _ask(ray, found))]
    finally:
        mark.unlink()
    if problems:
        raise ServiceError(
            f"nodes of the cluster at {address} cannot compute what this program would: {' | '.join(problems)}; start "
            "them from the same binary, with the home in a folder that all of them share"
        )


def _ask(ray: Any, checked: Any) -> str:
    try:
        return str(ray.get(checked, timeout=_CHECK_S))
    except ray.exceptions.GetTimeoutError:
        return f"did not answer within {_CHECK_S:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever a stranger's worker may raise
        return f"cannot run our code: {str(error).strip().splitlines()[-1]}"


def check_worker(code: RunningCode, mark: Path) -> str:
    """What a worker has other than the driver, "" if nothing. Runs on each node.

    Args:
        mark: file that the driver has just made in its home.
    """
    differences = code.find_differences()
    unseen = "" if mark.exists() else f"does not see {mark.parent}"
    return "; ".join(filter(None, (differences, unseen)))
