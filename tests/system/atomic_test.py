"""Files and folders appear whole or not at all."""

import os
import threading
import time
from pathlib import Path

import pytest

from athanor.system.atomic import arriving_folder, place_folder, remove_abandoned, replace_file, settle


def _fill(folder: Path) -> None:
    (folder / "a").write_text("one")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_with_its_content(tmp_path: Path) -> None:
    place_folder(tmp_path / "deep" / "final", _fill)
    assert (tmp_path / "deep" / "final" / "a").read_text() == "one"
    assert _names(tmp_path / "deep") == ["final"]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    place_folder(tmp_path / "final", _fill)
    place_folder(tmp_path / "final", lambda folder: pytest.fail("it was filled again"))
    assert _names(tmp_path / "final") == ["a"]


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("no"), KeyboardInterrupt()])
def test_whoever_fails_while_filling_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail(folder: Path) -> None:
        _fill(folder)
        raise error

    with pytest.raises(type(error)):
        place_folder(tmp_path / "final", fail)
    assert _names(tmp_path) == []


def test_what_a_killed_process_left_is_never_taken_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".arriving-dead").mkdir()
    (tmp_path / ".arriving-dead" / "a").write_text("half")
    place_folder(tmp_path / "final", _fill)
    assert (tmp_path / "final" / "a").read_text() == "one"


def test_of_two_at_once_one_wins_and_neither_fails(tmp_path: Path) -> None:
    other_is_ready = threading.Barrier(2)

    def fill(folder: Path) -> None:
        _fill(folder)
        other_is_ready.wait(10)

    failures: list[BaseException] = []

    def place() -> None:
        try:
            place_folder(tmp_path / "final", fill)
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
    with arriving_folder(tmp_path / "deep") as arriving:
        _fill(arriving)
        assert settle(arriving, tmp_path / "deep" / "final")
    assert _names(tmp_path / "deep") == ["final"]


def test_a_folder_does_not_settle_where_one_is(tmp_path: Path) -> None:
    place_folder(tmp_path / "final", _fill)
    with arriving_folder(tmp_path) as arriving:
        (arriving / "b").write_text("two")
        assert not settle(arriving, tmp_path / "final")
    assert _names(tmp_path) == ["final"]
    assert _names(tmp_path / "final") == ["a"]


def test_a_folder_that_cannot_settle_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"), arriving_folder(tmp_path) as arriving:
        settle(arriving, tmp_path / "gone" / "final")
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
