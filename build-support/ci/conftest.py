"""A scratch repository with the real git, and with `scripted_pants` as Pants."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci import affected, scripted_pants
from ci.edits import git

TARGETS = {
    "src:core": {"kind": ["python_source"], "sources": ["src/core.py"], "dependencies": []},
    "src:door": {"kind": ["python_source"], "sources": ["src/door.py"], "dependencies": ["src:core"]},
    "src:binary": {"kind": ["pex_binary"], "sources": [], "dependencies": ["src:door"]},
    "tests:rows": {"kind": ["files"], "sources": ["tests/rows/*"], "dependencies": []},
    "tests:core": {"kind": ["python_test"], "sources": ["tests/core_test.py"], "dependencies": ["src:core"]},
    "tests:door": {
        "kind": ["python_test"],
        "sources": ["tests/door_test.py"],
        "dependencies": ["src:door", "tests:rows"],
    },
}
FILES = (
    *("pants.toml", "mypy.ini", "README.md", "docs/guide.md", "data.bin", "src/BUILD", "tests/BUILD"),
    *(
        "src/core.py",
        "src/door.py",
        "tests/core_test.py",
        "tests/door_test.py",
        "tests/rows/a.json",
        "tests/rows/b.json",
    ),
)


@dataclass(frozen=True)
class Repository:
    """A clone whose branch `main` holds FILES, with a record of the goals that ran."""

    root: Path
    log: Path

    def git(self, *arguments: str) -> str:
        """Runs git in it."""
        return git(self.root, *arguments)

    def write(self, path: str, text: str) -> None:
        """Writes a file without adding it to git."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def commit(self) -> str:
        """Commits all changes, and returns the commit."""
        self.git("add", "--all")
        self.git("-c", "user.name=nobody", "-c", "user.email=nobody", "commit", "--quiet", "--message=change")
        return self.git("rev-parse", "HEAD").strip()

    def ran(self) -> list[str]:
        """The goals that ran, with their specs."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository on a branch of its own that has not left `main` yet."""
    repository = Repository(tmp_path / "clone", tmp_path / "log")
    monkeypatch.setenv("PANTS_LOG", str(repository.log))
    monkeypatch.setattr(affected, "_has_engine", lambda: True)
    repository.root.mkdir()
    repository.git("init", "--quiet", "--initial-branch=main")
    for path in FILES:
        repository.write(path, f"{path}\n")
    repository.write("targets.json", json.dumps(TARGETS))
    repository.write("pants", f'#!/bin/sh\nexec "{sys.executable}" "{scripted_pants.__file__}" "$@"\n')
    repository.write("build-support/postgresql/with-postgresql", '#!/bin/sh\nexec "$@"\n')
    for program in ("pants", "build-support/postgresql/with-postgresql"):
        (repository.root / program).chmod(0o755)
    repository.commit()
    repository.git("checkout", "--quiet", "-b", "topic")
    return repository
