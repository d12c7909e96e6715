"""Only regular files of an allowed size are read; nothing else holds the reader up or fills its memory."""

import os
import socket
from pathlib import Path

import pytest

from athanor.system.regular import IrregularFileError, read_regular


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_a_regular_file_is_read(path: Path) -> None:
    for content in (b"", b"some"):
        path.write_bytes(content)
        assert read_regular(path, max_bytes=len(content)) == content


def test_a_file_that_is_absent_is_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(path, 1)


def test_more_bytes_than_allowed_are_refused_with_both_numbers(path: Path) -> None:
    path.write_bytes(bytes(1_001))
    with pytest.raises(IrregularFileError, match=r"it has 1,001 bytes or more; allowed are 1,000"):
        read_regular(path, 1_000)


def test_a_sparse_file_of_a_terabyte_is_refused_unread(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(IrregularFileError, match="1,099,511,627,776 bytes"):
        read_regular(path, 1_000)


def _socket(path: Path) -> None:
    # By its name in the working folder: a longer path than 107 bytes cannot be bound.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


@pytest.mark.parametrize("follow_links", [False, True])
@pytest.mark.parametrize("kind", ["FIFO", "folder", "socket"])
def test_another_kind_of_file_is_refused_at_once(
    path: Path, kind: str, follow_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    {"FIFO": os.mkfifo, "folder": os.mkdir, "socket": _socket}[kind](path)
    with pytest.raises(IrregularFileError, match=f"it is a {kind}, and not a regular file"):
        read_regular(path, 1, follow_links=follow_links)


def test_a_device_is_refused() -> None:
    with pytest.raises(IrregularFileError, match="it is a device"):
        read_regular(Path("/dev/zero"), 1)


def test_a_link_is_followed_only_where_it_may_be(path: Path) -> None:
    path.write_bytes(b"some")
    link = path.with_name("link")
    link.symlink_to(path)
    assert read_regular(link, 4, follow_links=True) == b"some"
    with pytest.raises(IrregularFileError, match="it is a link"):
        read_regular(link, 4)
