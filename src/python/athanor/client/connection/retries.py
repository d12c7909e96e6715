"""Retries: one policy for both clients, and the attempts of one call.

gRPC's own retry policy is off: it makes at most five attempts and does not report how many.
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
    """When to retry a call of an unavailable or overloaded service.

    The default outlasts the restart of a single replica.

    Attributes:
        first_s: wait before the second attempt, in seconds.
        factor: factor by which each wait is longer than the one before.
        longest_s: longest wait in seconds, unless the service asks for a longer one.
        jitter_ratio: share by which each wait varies at random, so that callers do not align.
        patience_s: seconds after the first attempt in which further ones may begin; 0 for one attempt.
    """

    first_s: float = 0.05
    factor: float = 2.0
    longest_s: float = 2.0
    jitter_ratio: float = 0.2
    patience_s: float = 15.0

    def __post_init__(self) -> None:
        """Raises SettingsError if a value is out of its bounds."""
        for field in fields(self):
            value, (lowest, highest) = getattr(self, field.name), _BOUNDS.get(field.name, (0.0, _LONGEST_S))
            if not lowest <= value <= highest:
                raise SettingsError(f"{field.name} is {value}; give a number from {lowest:g} to {highest:g}")

    def delay_s(self, attempt: int) -> float:
        """Seconds to wait after an attempt, the first being 1."""
        # After a few dozen attempts the wait is the longest; the power would overflow.
        wait = min(self.longest_s, self.first_s * self.factor ** min(attempt - 1, 64))
        return wait * (1 + _random.uniform(-self.jitter_ratio, self.jitter_ratio))


class RetryCount:
    """Number of retries of a client, over all its calls and threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self._lock:
            self.value += 1


class Attempts:
    """The attempts of one call, under one deadline."""

    def __init__(self, policy: RetryPolicy, timeout_s: float, count: RetryCount) -> None:
        """Starts the clock of the call.

        Args:
            timeout_s: deadline of all attempts together, in seconds.
            count: counts each retry.

        Raises:
            SettingsError: `timeout_s` is not a positive number.
        """
        if not 0 < timeout_s < inf:
            raise SettingsError(f"timeout_s is {timeout_s}; give a number of seconds above 0")
        self._policy = policy
        self._count = count
        self._began = time.monotonic()
        self._timeout_s = timeout_s
        self._made = 1

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(0.0, self._timeout_s - self._elapsed_s)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def wait_after(self, failure: Failure) -> float:
        """Counts a retry and gives the seconds to wait before it.

        Raises:
            AthanorError: the failure's, if another attempt would fail too or come too late.
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
            return ServiceError(f"{failure.error}; gave up after {self._made} attempts in {self._elapsed_s:.1f} s")
        return failure.error
