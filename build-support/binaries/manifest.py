"""The manifest of binaries and their commit. A commit without effect on a binary changes only the manifest."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from binaries.pex_file import PexFile


def make_manifest(pexes: Iterable[PexFile], commit: str, dirty: bool) -> dict[str, Any]:
    """The manifest of some binaries.

    Args:
        dirty: whether there were uncommitted changes.
    """
    return {"commit": commit, "dirty": dirty, "binaries": {pex.name: _describe(pex) for pex in pexes}}


def _describe(pex: PexFile) -> dict[str, Any]:
    return {
        "file": pex.path.name,
        "size_bytes": pex.size,
        "sha256": pex.sha256,
        "code_sha1": pex.code_digest,
        "distributions_sha256": pex.distributions_digest,
        "bill_of_materials": f"{pex.name}.cdx.json",
    }


def find_commit(root: Path) -> tuple[str, bool]:
    """The checked-out commit, and whether any file differs from it."""
    return _git(root, "rev-parse", "HEAD"), bool(_git(root, "status", "--porcelain"))


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True, text=True).stdout.strip()
