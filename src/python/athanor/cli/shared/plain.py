"""Text from elsewhere, for the terminal."""

from rich.markup import escape

from athanor.system.printable import printable


def plain(value: object) -> str:
    """Text that the terminal shows as it is: no markup, and no character that controls the terminal."""
    return escape(printable(str(value), keep="\n\t"))
