"""A Ray of one node on this machine, which starts and ends with this process."""

import importlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from athanor.cluster import ray_environment, ray_internals
from athanor.cluster.ray_internals import RunningNode
from athanor.cluster.token import write_ray_token

_OBJECT_STORE_BYTES: Final = 1024**3


@contextmanager
def local_ray(
    scratch: Path,
    variables: Mapping[str, str],
    *,
    object_store_bytes: int = _OBJECT_STORE_BYTES,
    num_cpus: int | None = None,
    namespace: str | None = None,
    preload: str | None = None,
) -> Iterator[RunningNode]:
    """Runs Ray on loopback, with a token of its own, until the context ends. Ray must not have been imported before.

    Args:
        scratch: folder of `scratch_folder`.
        variables: what this program says to Ray, as `ray_environment` has them.
        num_cpus: that Ray hands out; by default as many as the machine has.
        preload: module to import while Ray's processes start, since most of that is waiting.
    """
    ray_internals.require_known_version()
    token = write_ray_token(scratch / "ray-token")
    ray_environment.export({**variables, **ray_environment.local_ray(token)})
    import ray

    if preload is not None:
        threading.Thread(target=importlib.import_module, args=(preload,), name="imports").start()
    try:
        yield ray_internals.start_local(scratch, object_store_bytes, num_cpus, namespace)
    finally:
        ray.shutdown()
