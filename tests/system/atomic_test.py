"""Files and folders appear whole or not at all."""

import os
import resource
import stat
import threading
import time
from pathlib import Path

import pytest

from athanor.system.atomic import (
    create_file,
    create_folder,
    open_temporary_file,
    remove_abandoned,
    rename_file,
    rename_folder,
    replace_file,
    temporary_folder,
)


def _fill(folder: Path) -> None:
    (folder / "a").write_text("one")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_with_its_content(tmp_path: Path) -> None:
    create_folder(tmp_path / "deep" / "final", _fill)
    assert (tmp_path / "deep" / "final" / "a").read_text() == "one"
    assert _names(tmp_path / "deep") == ["final"]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    create_folder(tmp_path / "final", _fill)
    create_folder(tmp_path / "final", lambda folder: pytest.fail("it was filled again"))
    assert _names(tmp_path / "final") == ["a"]


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("no"), KeyboardInterrupt()])
def test_a_failure_while_filling_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> None:
        _fill(folder)
        raise error

    with pytest.raises(type(error)):
        create_folder(tmp_path / "final", fail)
    assert _names(tmp_path) == []


def test_what_a_killed_process_left_is_never_taken_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".arriving-dead").mkdir()
    (tmp_path / ".arriving-dead" / "a").write_text("half")
    create_folder(tmp_path / "final", _fill)
    assert (tmp_path / "final" / "a").read_text() == "one"


def test_of_two_at_once_one_wins_and_neither_fails(tmp_path: Path) -> None:
    other_is_ready = threading.Barrier(2)

    def fill(folder: Path) -> None:
        _fill(folder)
        other_is_ready.wait(60)

    failures: list[BaseException] = []

    def place() -> None:
        try:
            create_folder(tmp_path / "final", fill)
        except BaseException as error:  # noqa: BLE001 - a thread's error is lost otherwise
            failures.append(error)

    threads = [threading.Thread(target=place) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert _names(tmp_path) == ["final"]


def test_a_folder_is_filled_before_its_name_is_known(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "deep") as folder:
        _fill(folder)
        assert rename_folder(folder, tmp_path / "deep" / "final")
    assert _names(tmp_path / "deep") == ["final"]


def test_a_folder_does_not_take_the_name_of_another(tmp_path: Path) -> None:
    create_folder(tmp_path / "final", _fill)
    with temporary_folder(tmp_path) as folder:
        (folder / "b").write_text("two")
        assert not rename_folder(folder, tmp_path / "final")
    assert _names(tmp_path) == ["final"]
    assert _names(tmp_path / "final") == ["a"]


def test_a_folder_that_cannot_be_renamed_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"), temporary_folder(tmp_path) as folder:
        rename_folder(folder, tmp_path / "gone" / "final")
    assert _names(tmp_path) == []


def test_what_was_abandoned_is_removed_once_it_is_old(tmp_path: Path) -> None:
    (tmp_path / ".arriving-folder" / "deep").mkdir(parents=True)
    (tmp_path / ".arriving-file").write_text("half")
    (tmp_path / "final").mkdir()
    remove_abandoned(tmp_path, older_than_s=60)
    assert _names(tmp_path) == [".arriving-file", ".arriving-folder", "final"]
    then = time.time() - 61
    for path in (*tmp_path.rglob("*"), tmp_path):
        os.utime(path, (then, then))
    remove_abandoned(tmp_path, older_than_s=60)
    assert _names(tmp_path) == ["final"]


def test_where_nothing_was_ever_placed_nothing_is_abandoned(tmp_path: Path) -> None:
    remove_abandoned(tmp_path / "never", older_than_s=0)


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert _names(path.parent) == ["file"]


def test_a_file_that_cannot_be_replaced_leaves_no_part(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        replace_file(tmp_path / "taken", b"one")
    assert _names(tmp_path) == ["taken"]


def test_readers_see_the_old_content_or_the_new(tmp_path: Path) -> None:
    path, contents = tmp_path / "file", (b"a" * 100_000, b"b" * 100_000)
    replace_file(path, contents[0])
    is_done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not is_done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(100):
        replace_file(path, contents[turn % 2])
    is_done.set()
    reader.join()
    assert seen <= set(contents)


def test_a_file_is_created_once_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    create_file(path, b"one", mode=0o644)
    with pytest.raises(FileExistsError):
        create_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert _names(path.parent) == ["file"]


def test_a_file_that_is_written_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "final").write_text("old")
    with open_temporary_file(tmp_path) as file:
        file.write(b"new")
    rename_file(Path(file.name), tmp_path / "final")
    assert (tmp_path / "final").read_text() == "new"
    assert _names(tmp_path) == ["final"]


def test_what_need_not_survive_a_power_failure_is_replaced_at_once_as_well(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", b"one", durable=False)
    replace_file(tmp_path / "file", b"two", durable=False)
    assert (tmp_path / "file").read_bytes() == b"two"
    assert _names(tmp_path) == ["file"]


@pytest.mark.parametrize("size", [200, 200_000])
def test_what_a_full_disk_cuts_short_leaves_the_old_content_and_is_named(tmp_path: Path, size: int) -> None:
    """A limit of file sizes stands for the disk. Small content fails when it is flushed, and again when closed."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            replace_file(path, bytes(size))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert (path.read_bytes(), _names(tmp_path)) == (b"old", ["file"])
