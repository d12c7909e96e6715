"""Text from elsewhere, as a terminal or a page may show it."""


def printable(text: str, keep: str = "") -> str:
    """Text with escapes for invisible characters: controls, changes of direction, lone surrogates.

    Raw, they could move a terminal's cursor, rename its window, or show a text in another order.

    Args:
        keep: invisible characters to leave, as line ends.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
