"""The provenance of a release: commit, lock, binary, libraries, machine."""

import hashlib
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

import athanor
from athanor.release.manifest import Provenance
from athanor.system.code.binary import read_pex_info
from athanor.version import VERSION

# The source root: a binary has the lock below it, the repository beside it.
_ROOT: Final = Path(athanor.__file__).parents[1]
_LOCKS: Final = (_ROOT / "python/default.lock", _ROOT.parents[1] / "3rdparty/python/default.lock")
_CPU: Final = Path("/proc/cpuinfo")


def describe_provenance(snapshot_version: int, trials: int | None, engine: str, threads: int) -> Provenance:
    """The provenance of a release that this process has trained."""
    commit, is_clean = describe_tree()
    return Provenance(
        snapshot_version=snapshot_version,
        commit=commit,
        is_clean=is_clean,
        lock=lock_digest(),
        pex=pex_digest(),
        trials=trials,
        engine=engine,
        threads=threads,
        athanor=VERSION,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu_family(),
        host=platform.node(),
        libraries={found.name: found.version for found in sorted(metadata.distributions(), key=lambda d: d.name)},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def describe_tree() -> tuple[str, bool]:
    """The commit of the repository around the working directory, "" if there is none, and whether the tree is clean."""
    commit = _git("rev-parse", "HEAD") or ""
    return commit, bool(commit) and list_uncommitted() == ()


def list_uncommitted() -> tuple[str, ...] | None:
    """Paths with changes that are not committed, new ones included and ignored ones not; None if git does not say."""
    # Whatever the user's settings: new files count, and names are as they are.
    listed = _git("status", "--porcelain", "--untracked-files=normal", "-z")
    if listed is None:
        return None
    entries = iter(listed.split("\0"))
    paths = []
    for entry in filter(None, entries):
        state, path = entry[:2], entry[3:]
        if {*state} & {"R", "C"}:
            # The path before the rename.
            next(entries)
        paths.append(path)
    return tuple(paths)


def lock_digest() -> str:
    """sha256 of the lock of this program's libraries, which ships with the code; "" if it is missing."""
    found = next((path for path in _LOCKS if path.is_file()), None)
    return hashlib.sha256(found.read_bytes()).hexdigest() if found else ""


def pex_digest() -> str:
    """The digest of the running PEX, over code and libraries, from its PEX-INFO; "" outside a PEX."""
    info = read_pex_info()
    return str(info["pex_hash"]) if info else ""


def cpu_family() -> str:
    """Vendor, family and model of the processor: on a different one the last digits of sums may differ."""
    names = ("vendor_id", "cpu family", "model")
    try:
        lines = _CPU.read_text().splitlines()
    except OSError:
        return platform.machine()
    first: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        first.setdefault(name.strip(), value.strip())
    return " ".join(first[name] for name in names if name in first) or platform.machine()


def _git(*arguments: str) -> str | None:
    """Git's output in the working directory; None without a repository or without git."""
    try:
        # The name of a file may be any bytes.
        done = subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="backslashreplace", check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
