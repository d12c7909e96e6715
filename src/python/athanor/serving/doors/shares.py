"""Memory that callers make a replica hold for what is on its way, shared fairly among them."""

from collections import Counter

from athanor.errors import OverloadedError


class Shares:
    """Bytes held for each caller.

    A caller may hold as much as is left free: one alone half of the limit, two a third each. So there is always room
    for a caller that holds nothing yet.
    """

    def __init__(self, limit_bytes: int, what: str) -> None:
        """Args: what: is held, for the refusal."""
        self._limit_bytes = limit_bytes
        self._what = what
        self._held: Counter[str] = Counter()
        self.total = 0

    def reserve(self, caller: str, size_bytes: int) -> None:
        """Holds bytes for a caller until they are released. Raises OverloadedError if its share is used up."""
        held = self._held[caller]
        # A single reservation always has room: one message may be larger than the share of its caller.
        if self.total and held + size_bytes > self._limit_bytes - self.total:
            raise OverloadedError(
                f"{self._what} take {held} bytes of this caller's share, and {self.total} of"
                f" {self._limit_bytes} bytes in all; {size_bytes} more have no room; retry later"
            )
        self._held[caller] = held + size_bytes
        self.total += size_bytes

    def release(self, caller: str, size_bytes: int) -> None:
        self.total -= size_bytes
        self._held[caller] -= size_bytes
        if not self._held[caller]:
            del self._held[caller]
