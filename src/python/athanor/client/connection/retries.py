"""When to ask again: one policy for every kind of client, and the attempts of one call.

gRPC has a retry policy of its own. It makes five attempts at most, and tells nobody how many it made.
"""

import secrets
import threading
import time
from dataclasses import dataclass, fields
from math import inf
from typing import Final

from athanor.client.connection.failures import Failure
from athanor.errors import ServiceError, SettingsError

_random: Final = secrets.SystemRandom()

_LONGEST_S: Final = 86_400.0
_BOUNDS: Final = {"factor": (1.0, 10.0), "jitter_ratio": (0.0, 1.0)}


@dataclass(frozen=True)
class RetryPolicy:
    """How long to ask a service again that is away for a moment.

    The default outlives a replica that has to be started again while it is the only one.

    Attributes:
        first_s: seconds before the second attempt.
        factor: how many times longer each wait is than the one before.
        longest_s: the longest wait, unless the service asks for a longer one.
        jitter_ratio: share of a wait by which it is changed at random, so that callers do not align.
        patience_s: seconds from the first attempt on, after which none is begun; 0 for one attempt.
    """

    first_s: float = 0.05
    factor: float = 2.0
    longest_s: float = 2.0
    jitter_ratio: float = 0.2
    patience_s: float = 15.0

    def __post_init__(self) -> None:
        """Raises SettingsError if a value cannot be."""
        for field in fields(self):
            value, (lowest, highest) = getattr(self, field.name), _BOUNDS.get(field.name, (0.0, _LONGEST_S))
            if not lowest <= value <= highest:
                raise SettingsError(f"{field.name} is {value}; give a number from {lowest:g} to {highest:g}")

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after the given attempt, the first being 1."""
        # Beyond a few dozen attempts the wait has long been the longest, and the power would overflow.
        wait = min(self.longest_s, self.first_s * self.factor ** min(attempt - 1, 64))
        return wait * (1 + _random.uniform(-self.jitter_ratio, self.jitter_ratio))


class RetryCount:
    """How often a client asked again, over all its calls and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self._lock:
            self.value += 1


class Attempts:
    """The attempts of one call, which share one deadline."""

    def __init__(self, policy: RetryPolicy, timeout_s: float, count: RetryCount) -> None:
        """Begins the time of the call.

        Args:
            timeout_s: seconds that all attempts have together.
            count: told of each further attempt.

        Raises:
            SettingsError: `timeout_s` is no time.
        """
        if not 0 < timeout_s < inf:
            raise SettingsError(f"timeout_s is {timeout_s}; give seconds above 0")
        self._policy = policy
        self._count = count
        self._began = time.monotonic()
        self._timeout_s = timeout_s
        self._made = 1

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; 0 when it is over."""
        return max(0.0, self._timeout_s - self._elapsed_s)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def wait_after(self, failure: Failure) -> float:
        """Seconds to wait until the next attempt, which is counted.

        Raises:
            AthanorError: that of the failure, when there is no next attempt: it would fail again, or come too late.
        """
        if failure.retry_after_s is None:
            raise failure.error
        wait = failure.retry_after_s + self._policy.delay_s(self._made)
        if self._elapsed_s + wait >= min(self._timeout_s, self._policy.patience_s):
            raise self._give_up(failure)
        self._made += 1
        self._count.add()
        return wait

    def _give_up(self, failure: Failure) -> Exception:
        if isinstance(failure.error, ServiceError) and self._made > 1:
            return ServiceError(f"{failure.error}; asked {self._made} times in {self._elapsed_s:.1f} s")
        return failure.error
