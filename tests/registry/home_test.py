"""Homes that are read-only, full, strangely called, or of a user without a name: words and an exit status."""

import shlex
from pathlib import Path
from typing import Final

import pytest
from support.commands import environment
from support.mounts import require_mounts, run_turns
from support.registries import MODEL, Workspace

from athanor.errors import StorageError
from athanor.registry.care.doctor import examine
from athanor.registry.registry import Registry
from athanor.release.files import MODEL_CARD, Release

_WHY: Final = "to see"
_MOUNTS: Final = "mount --bind /dev/null /etc/passwd"
_READING: Final = (
    f"registry list {MODEL}",
    f"registry history {MODEL}",
    f"registry show {MODEL} 1.0.0",
    f"registry diff {MODEL} 1.0.0 1.0.1",
    f"registry traffic {MODEL}",
    "registry doctor",
)


@pytest.fixture(scope="module")
def namespaces() -> None:
    require_mounts(_MOUNTS)


@pytest.fixture
def moved(filled: Workspace, tmp_path: Path) -> Workspace:
    """A copy, whose artifacts lie elsewhere than MLflow has them."""
    workspace = filled.copy(tmp_path / "moved")
    registry = workspace.open()
    registry.promote(MODEL, "1.0.0", _WHY)
    registry.promote(MODEL, "1.0.1", _WHY)
    return workspace.copy(tmp_path / "copy")


@pytest.mark.usefixtures("namespaces")
def test_a_read_only_copy_can_be_read_and_says_that_it_cannot_be_written(moved: Workspace) -> None:
    path = shlex.quote(str(moved.path))
    read_only = (f"mount --bind {path} {path}", f"mount -o remount,bind,ro {path}")
    writing = (f"registry promote {MODEL} 1.1.0 -m x", f"registry rollback {MODEL} -m x", "registry doctor --mend")
    turns = run_turns(read_only, moved.path, [*_READING, *writing])
    assert [turn["status"] for turn in turns] == [0] * len(_READING) + [1] * len(writing), turns
    for turn in turns[len(_READING) :]:
        assert "STORAGE_FAILED the registry" in turn["printed"]
        assert "Read-only file system" in turn["printed"]


@pytest.mark.usefixtures("namespaces")
def test_a_full_disk_is_named_and_nothing_is_half_written(moved: Workspace, tmp_path: Path) -> None:
    disk, source = tmp_path / "disk", shlex.quote(str(moved.path))
    disk.mkdir()
    place = shlex.quote(str(disk))
    # A copy of the home, and not a block more.
    full = (
        f"mount -t tmpfs -o size=64m none {place}",
        f"cp -r {source} {place}/home",
        f"(dd if=/dev/zero of={place}/rest bs=4096 2>/dev/null || true)",
    )
    promote = f"registry promote {MODEL} 1.1.0 -m x"
    turns = run_turns(full, disk / "home", [promote, *_READING[:4]])
    assert turns[0]["status"] == 1
    assert "No space left" in turns[0]["printed"] or "disk is full" in turns[0]["printed"]
    assert [turn["status"] for turn in turns[1:]] == [0] * 4, turns


@pytest.mark.usefixtures("namespaces")
def test_a_user_without_a_name_and_a_home_can_do_everything(moved: Workspace) -> None:
    nameless = {name: environment()[name] for name in ("PATH", "PYTHONPATH")}
    lines = [*_READING, f"registry promote {MODEL} 1.1.0 -m x"]
    turns = run_turns([_MOUNTS], moved.path, lines, nameless)
    assert [turn["status"] for turn in turns] == [0] * len(lines), turns


@pytest.mark.parametrize("name", ["with space", "#1", "what?", "a%20b", "%", "ü 东", "a?mode=memory&b#c%3F", "a:b;c'd"])
def test_the_path_of_a_home_can_have_any_character(
    empty: Workspace, tmp_path: Path, releases: list[Release], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = empty.copy(tmp_path / name)
    registry = workspace.open()
    version, _ = registry.register(releases[0])
    registry.register(releases[1])
    registry.promote(MODEL, "1.0.0", _WHY)
    registry.promote(MODEL, "1.0.1", _WHY)
    assert registry.rollback(MODEL, _WHY).require_champion().semantic_version == "1.0.0"
    again = workspace.open()
    assert examine(again, workspace.home.candidates) == []
    card = again.client.download_artifacts(version.run, MODEL_CARD, str(tmp_path))
    assert Path(card).read_bytes() == releases[0].files[MODEL_CARD]
    # Beside the home, nothing was made of a part of its path.
    assert {path.name for path in tmp_path.iterdir()} == {name.split("/", maxsplit=1)[0], MODEL_CARD}


def test_without_the_right_to_lock_reading_goes_on(moved: Workspace) -> None:
    """As on a read-only file system, for users who may not mount one."""
    lock = moved.home.registry / "mlflow.db.lock"
    lock.unlink()
    lock.mkdir()
    registry: Registry = moved.open()
    assert len(registry.list_versions(MODEL)) == 3
    assert examine(registry, moved.home.candidates) == []
    with pytest.raises(StorageError, match=r"cannot be changed: Is a directory: .*\.lock"):
        registry.promote(MODEL, "1.1.0", _WHY)
    with pytest.raises(StorageError, match="Commands that only read still work"):
        examine(registry, moved.home.candidates, mend=True)
