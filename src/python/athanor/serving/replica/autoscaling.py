"""Autoscaling: as many replicas as keep each at work for a target share of its time.

Serve counts the requests that pass through it, and ours do not (see `grpc_doors`). A replica does its work on one
thread, so the share of time that this thread works tells how much room is left, whatever requests cost.
"""

import math
import time
from typing import TYPE_CHECKING, Any, Final

from athanor.serving.setup.settings import ServingSettings

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

_METRIC: Final = "utilisation"
# A number of replicas is kept while the work is so little above what they should have.
_TOLERANCE: Final = 0.05
_LOOK_BACK_S: Final = 15.0


class Utilisation:
    """How much of its time the calling thread works."""

    def __init__(self) -> None:
        self._worked_s = time.thread_time()
        self._at_s = time.monotonic()

    def measure(self) -> dict[str, float]:
        """The share of time since it was last measured, from 0 to 1. Always to be called from the same thread."""
        worked_s, at_s = time.thread_time(), time.monotonic()
        share = (worked_s - self._worked_s) / max(at_s - self._at_s, 1e-3)
        self._worked_s, self._at_s = worked_s, at_s
        return {_METRIC: min(1.0, max(0.0, share))}


class ScaleByUtilisation:
    """Serve's autoscaling policy. Serve bounds what it asks for, and delays it."""

    def __init__(self, target: float) -> None:
        self._target = target

    def __call__(self, context: "AutoscalingContext") -> tuple[int, dict[str, Any]]:
        shares = (context.aggregated_metrics or {}).get(_METRIC, {})
        if not shares:
            return context.target_num_replicas, {}
        return replicas_for(sum(shares.values()), self._target), {}


def replicas_for(work: float, target: float) -> int:
    """How many replicas keep each at a target share of its time.

    Args:
        work: shares of time that replicas work, summed.
    """
    return max(1, math.ceil(work / target - _TOLERANCE))


def autoscaling_config(settings: ServingSettings) -> dict[str, Any] | None:
    """What Serve is told; None where the number of replicas is fixed."""
    if settings.max_replicas is None or settings.max_replicas == settings.replicas:
        return None
    return {
        "min_replicas": settings.replicas,
        "max_replicas": settings.max_replicas,
        "upscale_delay_s": settings.upscale_delay_s,
        "downscale_delay_s": settings.downscale_delay_s,
        "look_back_period_s": _LOOK_BACK_S,
        "policy": {
            "policy_function": f"{ScaleByUtilisation.__module__}:{ScaleByUtilisation.__name__}",
            "policy_kwargs": {"target": settings.target_utilisation},
        },
    }
