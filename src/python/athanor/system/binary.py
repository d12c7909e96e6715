"""Which binary this process runs from, as digests of its content."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


def find_binary(environment: Path = Path(sys.prefix)) -> Binary | None:
    """The binary that this environment belongs to; None when it runs from sources, as under Pants' test runner."""
    file = environment / "PEX-INFO"
    if not file.is_file():
        return None
    info = json.loads(file.read_text())
    return _describe(info) if (info.get("entry_point") or "").startswith("athanor.") else None


def _describe(info: Mapping[str, Any]) -> Binary:
    # build-support/binaries computes the same digest for the manifest: a test compares the two.
    lines = (f"{name} {digest}\n" for name, digest in sorted(info["distributions"].items()))
    return Binary(info["code_hash"], hashlib.sha256("".join(lines).encode()).hexdigest())
