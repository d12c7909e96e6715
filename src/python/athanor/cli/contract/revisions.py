"""Folders as they were in a commit, by git."""

import io
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from athanor.errors import ServiceError

TRUNKS: Final = ("origin/main", "main")


def find_commit(folder: Path, revision: str) -> str | None:
    """The commit of a revision in the repository of a folder; None if there is no such commit, repository or git."""
    found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return found.decode().strip() if found else None


def find_merge_base(folder: Path) -> str | None:
    """The commit at which HEAD left the main branch; None without such a branch, or if they share no commit."""
    commits = (find_commit(folder, trunk) for trunk in TRUNKS)
    bases = (_git(folder, "merge-base", commit, "HEAD") for commit in commits if commit)
    return next((base.decode().strip() for base in bases if base), None)


@contextmanager
def folder_at(folder: Path, commit: str) -> Iterator[Path]:
    """A copy of a folder of a repository as it was in a commit; empty if the commit does not have it.

    Raises:
        ServiceError: git cannot read the commit, as in a clone whose objects are missing.
    """
    # Of a folder below the root, git would archive the part of the tree that has the same path.
    top, _, path = (_git(folder, "rev-parse", "--show-toplevel", "--show-prefix") or b"").decode().partition("\n")
    tree = f"{commit}:{path.strip()}"
    with TemporaryDirectory(prefix="protos-") as copy:
        if _git(Path(top), "rev-parse", "--verify", "--quiet", tree):
            archive = _git(Path(top), "archive", "--format=zip", tree)
            if archive is None:
                raise ServiceError(f"git cannot read {tree} in {top}; run `git fetch` there, and `git fsck`")
            with zipfile.ZipFile(io.BytesIO(archive)) as held:
                held.extractall(copy)
        yield Path(copy)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Git's output; None if it refuses, or is not installed."""
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
