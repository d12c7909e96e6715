"""Scratch folders have short paths, go when their context ends, and after a kill with the next one that is made."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.commands import environment

from athanor.cluster.scratch import PREFIX, remove_abandoned, scratch_folder
from athanor.errors import StorageError

_OWNER = """
import sys
from pathlib import Path
from athanor.cluster.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "session" / "deep").mkdir(parents=True)
    print(folder, flush=True)
    sys.stdin.read()
"""
_LONG_AGO = (1.0, 1.0)


def _start_owner(parent: Path) -> "tuple[subprocess.Popen[str], Path]":
    """A process that owns a scratch folder, and the folder."""
    command = [sys.executable, "-c", _OWNER, str(parent)]
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_it_is_short_private_and_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with scratch_folder() as folder:
        assert str(folder).startswith("/tmp/ath-")  # noqa: S108 - what is tested
        assert len(str(folder)) < 107 - 70
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").touch()
    assert not folder.exists()


def test_without_room_for_ray_it_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3 * 2**19))
    words = f"{tmp_path} has 1.5 MiB of free space, less than 8 MiB; free some. .* whatever TMPDIR and --home say"
    with pytest.raises(StorageError, match=words), scratch_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_where_no_folder_can_be_made_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/proc` takes no folder, from any user."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**30))
    with pytest.raises(StorageError, match=r"/proc cannot be written: .*; Ray keeps"), scratch_folder(Path("/proc")):
        pass


def test_what_a_killed_process_left_goes_with_the_next_one_and_what_a_live_one_has_stays(tmp_path: Path) -> None:
    living, kept = _start_owner(tmp_path)
    killed, left = _start_owner(tmp_path)
    with living, killed:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert left.is_dir()
        with scratch_folder(tmp_path) as made:
            assert sorted(tmp_path.iterdir()) == sorted([kept, made])
        living.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_names_no_owner_stays_unless_it_is_old_and_empty(tmp_path: Path) -> None:
    # A process may be about to name itself; an earlier version never did.
    new, old, used = (tmp_path / f"{PREFIX}{name}" for name in ("new", "old", "used"))
    for folder in (new, old, used):
        folder.mkdir()
    (used / "file").touch()
    for folder in (old, used):
        os.utime(folder, _LONG_AGO)
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([new, used])


def test_links_files_and_other_names_stay(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").touch()
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folders_of_another_user_stay(tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}theirs"
    folder.mkdir()
    (folder / "owner").touch()
    os.chown(folder, 12_345, 12_345)
    remove_abandoned(tmp_path)
    assert (folder / "owner").exists()
