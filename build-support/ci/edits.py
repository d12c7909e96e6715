"""Differences between the working tree and the commit that a change started from, according to git."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePath

# Default target of a change: the first of these that exists.
TRUNKS = ("origin/main", "main")


class LostBaseError(Exception):
    """The commit that a change started from is not in this clone's history."""


@dataclass(frozen=True, order=True)
class Edit:
    """A path from the repository's root that was added, changed or deleted. A rename is one deleted and one added."""

    path: str
    deleted: bool = False


def git(root: Path, *arguments: str) -> str:
    """What git prints.

    Raises:
        subprocess.CalledProcessError: Git refused; `stderr` says why.
    """
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def find_base(root: Path, since: str | None) -> str:
    """The commit at which this history left `since`, or left the trunk where `since` is None.

    Raises:
        LostBaseError: There is no such commit here; the message says what was looked for.
    """
    for reference in TRUNKS if since is None else (since,):
        try:
            commit = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
            return git(root, "merge-base", commit.strip(), "HEAD").strip()
        except subprocess.CalledProcessError:
            continue
    wanted = repr(since) if since is not None else " or ".join(TRUNKS)
    raise LostBaseError(f"{wanted} is not in this history, or shares no commit with it")


def find_edits(root: Path, base: str) -> tuple[Edit, ...]:
    """The edits since a commit, in order of their paths: committed ones, uncommitted ones, and files git does not know.

    Renames are not detected: dependents of the old name matter as much as dependents of the new one.
    """
    changed = git(root, "diff", "--name-only", "--no-renames", "-z", base).split("\0")
    unknown = git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    paths = {path for path in (*changed, *unknown) if path}
    return tuple(sorted(Edit(path, deleted=not _exists(root / path)) for path in paths))


def text_at(root: Path, commit: str, path: PurePath) -> str:
    """A file as it was in a commit; empty where it was not."""
    try:
        return git(root, "show", f"{commit}:{path}")
    except subprocess.CalledProcessError:
        return ""


def text_now(root: Path, path: PurePath) -> str:
    """A file of the working tree; empty where it is not."""
    return (root / path).read_text() if (root / path).exists() else ""


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()
