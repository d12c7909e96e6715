"""Where the fits of a search run: on the cores of this machine or on a Ray cluster."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import joblib

from athanor.system.parents import end_with_parent

Engine: TypeAlias = Literal["local", "ray"]


@contextmanager
def on_engine(engine: Engine) -> Iterator[None]:
    """Runs joblib's tasks on an engine until the context ends. For `ray`, Ray must be running."""
    if engine == "local":
        # A caller may have chosen to run them in this process.
        if joblib.effective_n_jobs(2) == 1:
            yield
            return
        # By themselves, workers wait five minutes for more work after their parent was killed.
        with joblib.parallel_config(backend="loky", initializer=end_with_parent, initargs=(os.getpid(),)):
            yield
        return
    # Only now: Ray reads the environment when it is imported, and `athanor.cluster` sets it first.
    from ray.util.joblib import register_ray

    register_ray()  # type: ignore[no-untyped-call]
    with joblib.parallel_config(backend="ray"):
        yield
