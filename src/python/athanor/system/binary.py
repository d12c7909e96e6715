"""Which binary this process runs from, told by digests of what is in it."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Binary:
    """What a PEX says it holds. The commit is not part of it: a commit without effect leaves the bytes alone.

    Attributes:
        code: digest of our modules and resources, as the pex tool makes it (SHA-1).
        distributions: SHA-256 of the names and digests of the libraries.
    """

    code: str
    distributions: str

    def __str__(self) -> str:
        return f"code sha1:{self.code}\ndistributions sha256:{self.distributions}"


def find_binary(environment: Path = Path(sys.prefix)) -> Binary | None:
    """The binary whose environment this is; none when it runs from sources, under Pants' test runner for one."""
    file = environment / "PEX-INFO"
    if not file.is_file():
        return None
    info = json.loads(file.read_text())
    return _describe(info) if (info.get("entry_point") or "").startswith("athanor.") else None


def _describe(info: Mapping[str, Any]) -> Binary:
    # build-support/binaries makes the same digest for the manifest: a test compares the two.
    lines = (f"{name} {digest}\n" for name, digest in sorted(info["distributions"].items()))
    return Binary(info["code_hash"], hashlib.sha256("".join(lines).encode()).hexdigest())
