"""Consoles of benchmarks: wide where a log takes the place of a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console

# A log has no width of its own; a table folded at 80 columns is hard to read.
_LOG_WIDTH: Final = 160


def make_console(*, stderr: bool = False) -> Console:
    """A console that colours only what it is asked to."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_LOG_WIDTH)
