"""Values as messages show them."""

from typing import Any

_LONGEST_SHOWN_VALUE = 100


def shown(value: Any) -> str:
    """A value for a message: text in quotes, long values cut."""
    # Cut before it is escaped as well: a caller may send a text of megabytes.
    return cut(repr(value[: _LONGEST_SHOWN_VALUE + 1]) if isinstance(value, str) else str(value))


def cut(text: str) -> str:
    """A text for a message, without what is beyond a hundred characters."""
    return text if len(text) <= _LONGEST_SHOWN_VALUE else f"{text[:_LONGEST_SHOWN_VALUE]}…"
