"""RESULTS.md of a benchmark: a measured part, which each run replaces, above a part that people write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

KEPT_FROM: Final = "## What limits us"
"""Heading that begins the part written by people."""


def rewrite(path: Path, lines: Iterable[str]) -> None:
    """Replaces the measured part, and keeps the rest from `KEPT_FROM` on."""
    before = path.read_text() if path.exists() else ""
    _, _, kept = before.partition(KEPT_FROM)
    path.write_text("\n".join([*lines, KEPT_FROM]) + (kept or "\n"))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a table whose first column is text, and whose others are figures."""
    yield f"| {' | '.join(header)} |"
    yield f"|---|{'---:|' * (len(header) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
