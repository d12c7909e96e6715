"""Pants' knowledge of targets: all there are, and the dependents of an edited file."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ci.edits import Edit, as_diffspec, git

# Kinds of target that the goals `test` and `package` run, among all that this repository may load.
TESTS = frozenset({"python_test", "shunit2_test", "experimental_test_shell_command"})
PACKAGES = frozenset({"pex_binary", "docker_image", "archive", "python_distribution"})
# Each generates a target for each of its files or requirements.
GENERATORS = frozenset(
    {
        *("python_sources", "python_tests", "python_test_utils", "python_requirements"),
        *("files", "resources", "protobuf_sources", "shell_sources", "shunit2_tests", "_lockfiles"),
    }
)


@dataclass(frozen=True)
class Target:
    """A target as `./pants peek` describes it; `sources` are paths from the repository's root."""

    address: str
    kind: str
    sources: frozenset[str]


class PantsError(Exception):
    """Pants failed; it has printed the reason on stderr."""


def all_targets(root: Path) -> dict[str, Target]:
    """Every target of the working tree, by address."""
    return _peek(root, "peek", "::")


def changed_targets(root: Path, edits: Collection[Edit], *options: str) -> dict[str, Target]:
    """The targets of edited files, and all their dependents, by address."""
    if not edits:
        return {}
    # Not --changed-since: it always compares with HEAD as well, so that no edit can be kept from Pants.
    diffspec = as_diffspec(root, edits)
    return _peek(root, *options, f"--changed-diffspec={diffspec}", "--changed-dependents=transitive", "peek")


def dependents(root: Path, specs: Iterable[str], *options: str) -> frozenset[str]:
    """The addresses of these targets and of all their dependents."""
    specs = tuple(specs)
    return frozenset(_pants(root, *options, "dependents", "--transitive", "--closed", *specs).split() if specs else ())


@contextmanager
def tree_at(root: Path, commit: str) -> Iterator[Path]:
    """A worktree of a commit, inside the context: the present one has lost the dependents of what was deleted."""
    with tempfile.TemporaryDirectory(prefix="affected-") as folder:
        then = Path(folder) / "base"
        git(root, "worktree", "add", "--quiet", "--detach", str(then), commit)
        try:
            yield then
        finally:
            git(root, "worktree", "remove", "--force", str(then))


def _peek(root: Path, *arguments: str) -> dict[str, Target]:
    described = json.loads(_pants(root, *arguments) or "[]")
    return {
        target["address"]: Target(target["address"], target["target_type"], frozenset(target.get("sources") or ()))
        for target in described
    }


def _pants(root: Path, *arguments: str) -> str:
    done = subprocess.run([root / "pants", *arguments], cwd=root, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise PantsError(f"./pants {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout
