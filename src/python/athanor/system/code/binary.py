"""Which binary this process runs from, as digests of its content."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# What the pex tool computes where there is no code.
_NO_CODE: Final = hashlib.sha1(usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Binary:
    """Content of a PEX. The commit is not part of it: a commit without effect leaves the bytes alone.

    Attributes:
        code: digest of our modules and resources, as the pex tool computes it (SHA-1).
        distributions: SHA-256 of the names and digests of the libraries.
    """

    code: str
    distributions: str

    def __str__(self) -> str:
        return f"code sha1:{self.code}\ndistributions sha256:{self.distributions}"


def find_binary() -> Binary | None:
    """The binary that this process runs from; None when it runs from sources, as under Pants' goals test and run."""
    info = read_pex_info()
    return _describe(info) if info else None


def read_pex_info() -> Mapping[str, Any] | None:
    """PEX-INFO of the same binary, with the code and libraries that it was built of."""
    file = Path(sys.prefix) / "PEX-INFO"
    if not file.is_file():
        return None
    info: dict[str, Any] = json.loads(file.read_text())
    # Sources run in an environment of libraries alone: Pants' goal `run` gives it their entry point as well.
    is_ours = (info.get("entry_point") or "").startswith("athanor.") and info["code_hash"] != _NO_CODE
    return info if is_ours else None


def _describe(info: Mapping[str, Any]) -> Binary:
    # build-support/binaries computes the same digest for the manifest: a test compares the two.
    lines = (f"{name} {digest}\n" for name, digest in sorted(info["distributions"].items()))
    return Binary(info["code_hash"], hashlib.sha256("".join(lines).encode()).hexdigest())
