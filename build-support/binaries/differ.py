"""Compares binaries that were built twice, byte for byte, and names the first difference."""

from __future__ import annotations

import argparse
import sys
import zipfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from binaries.pex_file import MB, PexFile

_ATTRIBUTES: Final = {
    "CRC": "content",
    "date_time": "time",
    "external_attr": "mode",
    "compress_size": "compression",
}


def find_difference(here: Path, there: Path) -> str | None:
    """The first member in which two zip files differ and how; None when all bytes are equal."""
    if PexFile(here).sha256 == PexFile(there).sha256:
        return None
    with zipfile.ZipFile(here) as one, zipfile.ZipFile(there) as other:
        for mine, theirs in zip_longest(one.infolist(), other.infolist()):
            if difference := _tell_apart(mine, theirs):
                return difference
    return "no member: only the bytes between members"


def _tell_apart(mine: zipfile.ZipInfo | None, theirs: zipfile.ZipInfo | None) -> str | None:
    if mine is None or theirs is None:
        only = mine or theirs
        return f"{only.filename}: in one only" if only else None
    if mine.filename != theirs.filename:
        return f"{mine.filename}: the other has {theirs.filename} at its place"
    for attribute, words in _ATTRIBUTES.items():
        if getattr(mine, attribute) != getattr(theirs, attribute):
            return f"{mine.filename}: its {words}"
    return None


def compare(here: Path, there: Path, names: Sequence[str]) -> int:
    """Prints a table. Exit status 3 when any binary differs."""
    print("| binary | MB | sha256 | built twice |\n|---|---|---|---|")
    same = True
    for name in names:
        pex, other = here / f"{name}.pex", there / f"{name}.pex"
        difference = find_difference(pex, other)
        same = same and difference is None
        verdict = f"DIFFERS, first in {difference}" if difference else "equal"
        print(f"| {name}.pex | {PexFile(pex).size / MB:.1f} | `{PexFile(pex).sha256}` | {verdict} |")
    return 0 if same else 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("here", type=Path, help="a folder of binaries")
    parser.add_argument("there", type=Path, help="another")
    parser.add_argument("names", nargs="+", help="the binaries, such as client")
    options = parser.parse_args()
    return compare(options.here, options.there, options.names)


if __name__ == "__main__":
    sys.exit(main())
