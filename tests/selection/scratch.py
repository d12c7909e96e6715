"""A clone to make edits in: of a commit, with a second project beside the example, and a Pants daemon of its own."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from selection.edits import Edit
from selection.errors import AskError, CaseError

# "`PATH`:", an empty line, and the whole file: the guide's form for files of a new project.
_FILE: Final = re.compile(r"^`(?P<path>[\w./]+)`:\n\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROJECTS: Final = "src/python/projects/BUILD"
_CARRIED: Final = re.compile(r"^```python\n(?P<text># What each binary carries.*?)^```$", re.MULTILINE | re.DOTALL)
_AUTHOR: Final = ("-c", "user.name=selection", "-c", "user.email=selection@example.org", "-c", "commit.gpgsign=false")


@dataclass(frozen=True)
class Scratch:
    """A working tree for edits.

    Attributes:
        base: the commit to which each case returns.
    """

    root: Path
    base: str

    @contextmanager
    def edited(self, edits: Iterable[Edit]) -> Iterator[None]:
        """The tree with some edits, inside the context."""
        try:
            for edit in edits:
                edit.apply(self.root)
            yield
        finally:
            git(self.root, "checkout", "--quiet", "--force", self.base, "--", ".")
            git(self.root, "clean", "--quiet", "--force", "-d")

    def keep(self, edits: Iterable[Edit], words: str) -> "Scratch":
        """The tree with some edits committed: later cases are compared with this state."""
        for edit in edits:
            edit.apply(self.root)
        return Scratch(self.root, _commit(self.root, words))


@contextmanager
def scratch_clone(of: Path) -> Iterator[Scratch]:
    """A clone of the checked-out commit, in a temporary folder. Its daemon is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="selection-"))
    root = folder / "clone"
    try:
        git(of, "clone", "--quiet", "--shared", str(of), str(root))
        _write_second_project(root)
        yield Scratch(root, _commit(root, "Add a second project"))
    finally:
        _stop_daemon(root)
        shutil.rmtree(folder, ignore_errors=True)


def environment() -> Mapping[str, str]:
    """This process's environment without the outer Pants' variables: the inner Pants finds its own, and its daemon."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PANTS_", "PEX_"))}


def git(root: Path, *arguments: str) -> str:
    """Runs git on a tree.

    Raises:
        AskError: git failed.
    """
    done = subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise AskError(f"git {' '.join(arguments)} in {root} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def files_of_guide(guide: str) -> dict[str, str]:
    """The files of docs/add-a-project.md, by path.

    Raises:
        CaseError: there are none, or the contents of each binary are missing.
    """
    files = {found["path"]: found["text"] for found in _FILE.finditer(guide)}
    projects = _CARRIED.search(guide)
    if not files or projects is None:
        raise CaseError("docs/add-a-project.md has no files of a project, or no list of what each binary carries")
    return {**files, _PROJECTS: projects["text"]}


def _write_second_project(root: Path) -> None:
    for path, text in files_of_guide((root / "docs/add-a-project.md").read_text(encoding="utf-8")).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def _commit(root: Path, words: str) -> str:
    git(root, "add", "--all")
    git(root, *_AUTHOR, "commit", "--quiet", "--allow-empty", "--no-verify", f"--message={words}")
    return git(root, "rev-parse", "HEAD").strip()


def _stop_daemon(root: Path) -> None:
    """By its own id, which Pants keeps in a file."""
    for file in root.glob(".pids/*/pantsd/pid"):
        try:
            os.kill(int(file.read_text()), signal.SIGTERM)
        except (ProcessLookupError, ValueError):
            continue
