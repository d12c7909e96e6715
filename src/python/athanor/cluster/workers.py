"""Whether each node of a cluster would compute what this process would, before it is given work."""

import secrets
from pathlib import Path
from typing import Any, Final

from athanor.errors import ServiceError
from athanor.system.code.running_code import RunningCode

_CHECK_S: Final = 120.0


def require_same_code(shared: Path) -> None:
    """Asks one worker of each node of the connected cluster for its code and for a folder.

    Args:
        shared: folder that all nodes must see under this path: the home.

    Raises:
        ServiceError: a node has other code or does not see the folder, or no node offers a processor.
    """
    import ray

    if not ray.cluster_resources().get("CPU"):  # type: ignore[no-untyped-call]
        raise ServiceError("the cluster offers no processors; join nodes that have some")
    shared.mkdir(parents=True, exist_ok=True)
    mark = shared / f".cluster-{secrets.token_hex(8)}"
    mark.touch(exist_ok=False)
    try:
        problems = _check_nodes(ray, mark)
    finally:
        mark.unlink()
    if problems:
        raise ServiceError(
            f"nodes of the cluster cannot compute what this program would: {' | '.join(problems)}; start them from the "
            "same binary, with the home in a folder that all of them share"
        )


def _check_nodes(ray: Any, mark: Path) -> list[str]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check = ray.remote(num_cpus=0, max_retries=0)(check_worker)
    checks = {
        node["NodeManagerAddress"]: check.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(RunningCode.here(), mark)
        for node in ray.nodes()
        if node["Alive"]
    }
    answers = {host: _wait_for(ray, pending) for host, pending in checks.items()}
    return [f"{host} {answer}" for host, answer in answers.items() if answer]


def _wait_for(ray: Any, pending: Any) -> str:
    try:
        return str(ray.get(pending, timeout=_CHECK_S))
    except ray.exceptions.GetTimeoutError:
        return f"did not answer within {_CHECK_S:.0f} s"
    except Exception as error:  # noqa: BLE001 - a worker of other code may raise anything
        return f"cannot run our code: {str(error).strip().splitlines()[-1]}"


def check_worker(code: RunningCode, mark: Path) -> str:
    """Returns what a worker has other than the driver, "" if nothing. Runs on each node.

    Args:
        mark: file that the driver has just made in its home.
    """
    differences = code.find_differences()
    unseen = "" if mark.exists() else f"does not see {mark.parent}"
    return "; ".join(filter(None, (differences, unseen)))
