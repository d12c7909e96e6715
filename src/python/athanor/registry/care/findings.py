"""What the doctor finds, and how to mend it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One difference.

    Attributes:
        what: the difference, in a sentence.
        remedy: what mending does or did; "" if only a person can mend it.
        is_mended: whether it was mended.
    """

    model: str
    what: str
    remedy: str
    is_mended: bool = False


@dataclass(frozen=True)
class Difference:
    """A difference, and how to mend it."""

    what: str
    remedy: str = ""
    mend: Callable[[], object] | None = None
