"""Differences between the working tree and the commit that a change started from, according to git."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
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


def git(root: Path, *arguments: str, given: str = "", variables: Mapping[str, str] | None = None) -> str:
    """What git prints, with a text on stdin and more variables in its environment.

    Raises:
        subprocess.CalledProcessError: Git refused; `stderr` says why.
    """
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True, input=given, env=environment
    ).stdout


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


def as_diffspec(root: Path, edits: Iterable[Edit]) -> str:
    """Two trees that differ by these paths alone, as `--changed-diffspec` takes them.

    Git stores them without content, and unreferenced: no commit is made; HEAD, the user's index and files stay.
    """
    edits = tuple(edits)
    return "..".join(_tree_of(root, [edit.path for edit in edits if edit.deleted is side]) for side in (True, False))


def _tree_of(root: Path, paths: Iterable[str]) -> str:
    nothing = git(root, "hash-object", "-w", "--stdin").strip()
    entries = "".join(f"100644 {nothing}\t{path}\0" for path in paths)
    with tempfile.TemporaryDirectory(prefix="affected-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "update-index", "-z", "--index-info", given=entries, variables=index)
        return git(root, "write-tree", variables=index).strip()


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
