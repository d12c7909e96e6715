"""How a release came about: commit, libraries, machine."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata

from athanor.release.manifest import Provenance
from athanor.version import VERSION


def describe_provenance(snapshot_version: int) -> Provenance:
    commit = _git("rev-parse", "HEAD")
    return Provenance(
        snapshot_version=snapshot_version,
        commit=commit,
        is_clean=bool(commit) and not _git("status", "--porcelain"),
        athanor=VERSION,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries={found.name: found.version for found in sorted(metadata.distributions(), key=lambda d: d.name)},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _git(*arguments: str) -> str:
    """What git prints in the working directory; "" where it is no repository or git is absent."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
