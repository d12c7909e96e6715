"""Autoscaling: as many replicas as keep each busy for a target share of its time.

Serve counts the requests that pass through it, and ours do not (see `doors.grpc`). A replica works on one thread, so
the share of time for which that thread is busy shows how much room is left, whatever requests cost.
"""

import math
import time
from typing import TYPE_CHECKING, Any, Final

from athanor.serving.setup.settings import ServingSettings

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

_METRIC: Final = "utilisation"
# The number of replicas stays while the work exceeds their target by less than this share of one replica.
_TOLERANCE: Final = 0.05
_LOOK_BACK_S: Final = 15.0


class Utilisation:
    """The share of its time for which the calling thread is busy."""

    def __init__(self) -> None:
        self._worked_s = time.thread_time()
        self._at_s = time.monotonic()

    def measure(self) -> dict[str, float]:
        """Returns the share since the last call, from 0 to 1. Each call must come from the same thread."""
        worked_s, at_s = time.thread_time(), time.monotonic()
        share = (worked_s - self._worked_s) / max(at_s - self._at_s, 1e-3)
        self._worked_s, self._at_s = worked_s, at_s
        return {_METRIC: min(1.0, max(0.0, share))}


class ScaleByUtilisation:
    """The policy that Serve calls. Serve bounds and delays the number that it returns."""

    def __init__(self, target: float) -> None:
        self._target = target

    def __call__(self, context: "AutoscalingContext") -> tuple[int, dict[str, Any]]:
        shares = (context.aggregated_metrics or {}).get(_METRIC, {})
        if not shares:
            return context.target_num_replicas, {}
        return replicas_for(sum(shares.values()), self._target), {}


def replicas_for(work: float, target: float) -> int:
    """Returns the number of replicas that keeps each at a target share of its time.

    Args:
        work: sum over replicas of the share for which each is busy.
    """
    return max(1, math.ceil(work / target - _TOLERANCE))


def autoscaling_config(settings: ServingSettings) -> dict[str, Any] | None:
    """Serve's configuration; None where the number of replicas is fixed."""
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
