"""How a release came about, as far as the machine can tell."""

import hashlib
import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from athanor.release.manifest import Provenance
from athanor.training.train import provenance as module
from athanor.training.train.provenance import (
    cpu_family,
    describe_provenance,
    list_uncommitted,
    lock_digest,
    pex_digest,
)
from athanor.version import VERSION


def _describe() -> Provenance:
    return describe_provenance(snapshot_version=3, trials=7, engine="ray", threads=2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _git(*arguments: str) -> str:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_outside_of_a_repository_there_is_no_commit() -> None:
    provenance = _describe()
    assert (provenance.commit, provenance.is_clean) == ("", False)
    assert (provenance.snapshot_version, provenance.athanor) == (3, VERSION)
    assert (provenance.trials, provenance.engine, provenance.threads) == (7, "ray", 2)
    assert provenance.libraries["pydantic"] == metadata.version("pydantic")


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _describe().commit == ""


def test_in_a_repository_it_names_the_commit_and_whether_all_is_in_it(folder: Path) -> None:
    _git("init", "--quiet")
    _git("commit", "--quiet", "--allow-empty", "--message", "First")
    provenance = _describe()
    assert (provenance.commit, provenance.is_clean) == (_git("rev-parse", "HEAD"), True)
    (folder / "more").touch()
    assert not _describe().is_clean


def test_changed_and_new_files_are_named_without_ignored_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git("init", "--quiet")
    for name in ("kept.py", "old name.py", "gone.py"):
        (folder / name).write_text(f"{name}\n" * 20)
    (folder / ".gitignore").write_text("/scratch/\n*.log\n")
    _git("add", ".")
    _git("commit", "--quiet", "--message", "First")
    everywhere = folder / ".git" / "everywhere"
    everywhere.write_text("notes/\n")
    _git("config", "core.excludesFile", str(everywhere))
    (folder / ".git" / "info" / "exclude").write_text("/mine/\n")
    for path in ("scratch/a.py", "deep/b.log", "notes/c.txt", "mine/d.txt"):
        (folder / path).parent.mkdir()
        (folder / path).touch()
    assert list_uncommitted() == ()
    assert _describe().is_clean

    _git("mv", "old name.py", "näme.py")
    _git("rm", "--quiet", "gone.py")
    (folder / "kept.py").write_text("changed")
    (folder / "new").mkdir()
    (folder / "new" / "helper.py").touch()
    # A user who does not want to see new files has them all the same.
    _git("config", "status.showUntrackedFiles", "no")
    monkeypatch.chdir(folder / "new")
    assert sorted(list_uncommitted() or ()) == ["gone.py", "kept.py", "new/", "näme.py"]
    assert not _describe().is_clean


def test_where_git_cannot_list_changes_the_tree_is_not_clean(folder: Path) -> None:
    _git("init", "--quiet")
    _git("commit", "--quiet", "--allow-empty", "--message", "First")
    (folder / ".git" / "index").write_text("damaged")
    assert list_uncommitted() is None
    assert (_describe().commit, _describe().is_clean) == (_git("rev-parse", "HEAD"), False)


def test_the_lock_that_the_libraries_come_from_travels_with_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(lock_digest()) == 64
    lock = tmp_path / "default.lock"
    monkeypatch.setattr(module, "_LOCKS", (tmp_path / "absent.lock", lock))
    assert lock_digest() == ""
    lock.write_bytes(b"pydantic==2.0.0")
    assert lock_digest() == hashlib.sha256(b"pydantic==2.0.0").hexdigest()


def test_a_binary_is_named_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert pex_digest() == ""
    info = {"entry_point": "athanor.cli.training.app", "pex_hash": "abc", "code_hash": "def"}
    (tmp_path / "PEX-INFO").write_text(json.dumps(info))
    assert pex_digest() == "abc"


def test_the_processor_is_named_by_its_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t: 85\nmodel name\t: A: B\n\n")
    monkeypatch.setattr(module, "_CPU", told)
    assert cpu_family() == "GenuineIntel 6 85"
    told.unlink()
    assert cpu_family() == platform.machine()
