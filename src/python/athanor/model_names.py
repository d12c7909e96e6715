"""Names of models, and the patterns by which services and tokens choose them: `flight_delay`, `flight*`, `*`."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

EVERY_MODEL: Final = ("*",)

_WILDCARDS: Final = re.compile(r"[*?\[]")
_PATTERN: Final = re.compile(r"[\w.*?\[\]!-]{1,128}", re.ASCII)


def is_exact(pattern: str) -> bool:
    """Whether a pattern is the name of one model, without wildcards."""
    return _WILDCARDS.search(pattern) is None


def matches(model: str, patterns: Iterable[str]) -> bool:
    """Whether a model has one of the names, or matches one of the patterns, as a shell matches files."""
    return any(fnmatchcase(model, pattern) for pattern in patterns)


def check_patterns(patterns: Iterable[str]) -> None:
    """Raises ValueError if one is neither a name nor a pattern; names it."""
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{pattern!r} is neither the name of a model nor a pattern such as flight*")
