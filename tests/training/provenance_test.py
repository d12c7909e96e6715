"""How a release came about, as far as the machine can tell."""

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from athanor.training.provenance import describe_provenance
from athanor.version import VERSION


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _git(*arguments: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_outside_of_a_repository_there_is_no_commit() -> None:
    provenance = describe_provenance(3)
    assert (provenance.commit, provenance.is_clean) == ("", False)
    assert (provenance.snapshot_version, provenance.athanor) == (3, VERSION)
    assert provenance.libraries["pydantic"] == metadata.version("pydantic")


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_provenance(0).commit == ""


def test_in_a_repository_it_names_the_commit_and_whether_all_is_in_it(folder: Path) -> None:
    _git("init", "--quiet")
    _git("commit", "--quiet", "--allow-empty", "--message", "First")
    provenance = describe_provenance(0)
    assert (provenance.commit, provenance.is_clean) == (_git("rev-parse", "HEAD"), True)
    (folder / "more").touch()
    assert not describe_provenance(0).is_clean
