"""Where the fits of a search run: on the cores of this machine, or on a Ray cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import joblib

Engine: TypeAlias = Literal["local", "ray"]


@contextmanager
def on_engine(engine: Engine) -> Iterator[None]:
    """Sends what joblib runs to an engine for as long as the context lasts. For `ray`, Ray must be running."""
    if engine == "local":
        yield
        return
    # Ray reads the environment when it is imported: whoever starts it has set it.
    from ray.util.joblib import register_ray

    register_ray()  # type: ignore[no-untyped-call]
    with joblib.parallel_config(backend="ray"):
        yield
