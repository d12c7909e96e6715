"""What is promised to survive a power failure is flushed in the right order, before its writer says that it is done."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from support.promised_writes import BEGUN, CARELESS, DONE, PROMISED
from support.traces import Call, Disk, trace, why_not

from athanor.system.durability import make_folder, sync, sync_tree

# deltalake names a line of the log before it is flushed; tests/data/snapshots shows that an empty one does no harm.
_BY_DELTALAKE: Final = r"_delta_log/\d+\.json was named before"


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """What was wrong with each write, all done in one process: what it imports takes longer than what it writes."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("writes")
    command = [sys.executable, "-m", "support.promised_writes", str(folder)]
    # Modules that are compiled meanwhile are no promise.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return dict(_replay(trace(command, environment, tmp_path_factory.mktemp("calls")), folder))


def _replay(calls: list[Call], folder: Path) -> Iterator[tuple[str, list[str]]]:
    disk = Disk()
    for call in calls:
        disk.apply(call)
        mark, _, name = call.paths[-1].name.partition(" ")
        if call.paths[-1].parent == folder and mark == BEGUN:
            disk.forget()
        elif call.paths[-1].parent == folder and mark == DONE:
            yield name, disk.find_problems(folder / name)


@pytest.mark.parametrize("write", PROMISED)
def test_nothing_that_is_promised_is_lost(problems: Mapping[str, list[str]], write: str) -> None:
    assert [problem for problem in problems[write] if not re.search(_BY_DELTALAKE, problem)] == []


@pytest.mark.parametrize("write", CARELESS)
def test_a_writer_that_does_not_flush_in_the_right_order_is_caught(
    problems: Mapping[str, list[str]], write: str
) -> None:
    assert re.search(CARELESS[write][1], " | ".join(problems[write]))


def test_folders_are_made_down_to_the_last(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def test_a_folder_that_its_file_system_cannot_flush_is_no_error() -> None:
    sync(Path("/proc/self"))


def test_a_file_that_its_file_system_cannot_flush_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        sync(Path("/proc/self/status"))


def test_a_tree_that_is_not_there_has_nothing_to_flush(tmp_path: Path) -> None:
    sync_tree(tmp_path / "never")
