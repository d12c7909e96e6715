"""Links of Markdown documents to other files of the repository, and to headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FENCED: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\]\((?!\w+:)(?P<path>[^)\s#]*)(?:#(?P<heading>[^)\s]*))?\)")
_HEADING: Final = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_MARKUP: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)|[^\w\- ]")
# What Pants builds.
_BUILT: Final = frozenset({"dist"})


def find_dead_links(root: Path) -> Iterator[tuple[Path, int, str]]:
    """The document (from the root), line and target of each link to a file or heading that is not there."""
    for document in sorted(_documents(root)):
        text = _without_code(document.read_text(encoding="utf-8"))
        for link in _LINK.finditer(text):
            target = document.parent / link["path"] if link["path"] else document
            if not target.exists() or (link["heading"] and link["heading"] not in _headings(target)):
                yield document.relative_to(root), text.count("\n", 0, link.start()) + 1, link.group()[2:-1]


def _documents(root: Path) -> Iterator[Path]:
    """All but those in hidden folders, which hold caches."""
    yield from root.glob("*.md")
    for folder in root.glob("[!.]*/"):
        if folder.name not in _BUILT:
            yield from folder.rglob("*.md")


def _headings(document: Path) -> frozenset[str]:
    """As GitHub names them in links."""
    if document.suffix != ".md":
        return frozenset()
    found = _HEADING.findall(_without_code(document.read_text(encoding="utf-8")))
    return frozenset(_MARKUP.sub(r"\1", heading.lower()).replace(" ", "-") for heading in found)


def _without_code(text: str) -> str:
    return _FENCED.sub(lambda fenced: "\n" * fenced.group().count("\n"), text)
