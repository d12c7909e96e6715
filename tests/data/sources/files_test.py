"""Files are found and copied wherever they lie: paths, globs, folders, URLs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations import memory as memory_module
from fsspec.implementations.memory import MemoryFile
from support.sources import ingest, list_names, write

from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.files import copy_files, in_package
from athanor.errors import DataError, NotFoundError, SettingsError

_TEXT = b"id,name,mass\n1,Ann,2.5\n2,NA,\n3,,NA\n"
_ROWS = [
    {"id": 1, "name": "Ann", "mass": 2.5},
    {"id": 2, "name": None, "mass": None},
    {"id": 3, "name": None, "mass": None},
]


@pytest.fixture
def memory() -> Iterator[Any]:
    """Fsspec's file system in memory, with a folder of its own."""
    system = fsspec.filesystem("memory")
    system.makedirs("/athanor", exist_ok=True)
    yield system
    system.rm("/athanor", recursive=True)


def test_a_file_is_kept_as_it_is_andingest(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", _TEXT)
    assert ingest(DelimitedFiles(path), kept).to_pylist() == _ROWS
    assert (kept / "a.csv").read_bytes() == _TEXT


def _spread(here: Path) -> None:
    write(here / "b.csv", b"id\n2\n")
    write(here / "a.csv", b"id\n1\n")
    write(here / "deep" / "c.csv", b"id\n3\n")
    write(here / "_SUCCESS", b"")
    write(here / ".hidden" / "d.csv", b"other\n")


def test_all_files_of_a_folder_except_hidden_ones_are_copied(here: Path, kept: Path) -> None:
    _spread(here)
    assert ingest(DelimitedFiles(here), kept)["id"].to_pylist() == [1, 2, 3]
    assert list_names(kept) == ["a.csv", "b.csv", "deep/c.csv"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [("*.csv", ["a.csv", "b.csv"]), ("**/*.csv", ["a.csv", "b.csv", "deep/c.csv"]), ("[ac].csv", ["a.csv"])],
)
def test_a_glob_copies_its_matches(here: Path, kept: Path, glob: str, expected: list[str]) -> None:
    _spread(here)
    DelimitedFiles(f"{here}/{glob}").fetch(kept, None)
    assert list_names(kept) == expected


def test_files_of_one_name_in_several_folders_do_not_meet(here: Path, kept: Path) -> None:
    for number in (1, 2):
        write(here / f"part{number}" / "data.csv", b"id\n%d\n" % number)
    assert ingest(DelimitedFiles(f"{here}/part*/data.csv"), kept)["id"].to_pylist() == [1, 2]
    assert list_names(kept) == ["part1/data.csv", "part2/data.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(here: Path, kept: Path) -> None:
    write(here / "a[1].csv", b"id\n1\n")
    write(here / "a1.csv", b"id\n2\n")
    assert ingest(DelimitedFiles(here / "a[1].csv"), kept)["id"].to_pylist() == [1]


@pytest.mark.parametrize("url", ["memory://athanor/a.csv", "memory://athanor/*.csv", "memory://athanor"])
def test_a_url_is_read_as_a_path_is(memory: Any, kept: Path, url: str) -> None:
    memory.pipe_file("/athanor/a.csv", _TEXT)
    assert ingest(DelimitedFiles(url), kept).to_pylist() == _ROWS
    assert list_names(kept) == ["a.csv"]


def test_a_file_url_isingest(here: Path, kept: Path) -> None:
    path = write(here / "a b.csv", _TEXT)
    assert ingest(DelimitedFiles(f"file://{path}"), kept).to_pylist() == _ROWS


def test_a_function_finds_the_path_when_it_is_fetched(here: Path, kept: Path) -> None:
    called: list[str] = []

    def find() -> Path:
        called.append("now")
        return write(here / "a.csv", _TEXT)

    source = DelimitedFiles(find)
    assert called == []
    assert ingest(source, kept).to_pylist() == _ROWS
    assert called == ["now"]


def test_an_absent_file_is_named(here: Path, kept: Path) -> None:
    for absent in (here / "gone.csv", f"{here}/*.csv", here, "memory://nowhere/a.csv"):
        with pytest.raises(NotFoundError, match="no such file, and no file in such a folder or glob") as error:
            DelimitedFiles(absent).fetch(kept, None)
        assert str(absent) in str(error.value)


def test_a_file_that_may_not_be_read_is_named(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", _TEXT)
    (kept / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv cannot be copied: .*directory"):
        DelimitedFiles(path).fetch(kept, None)


def test_a_file_is_never_kept_outside_of_its_folder(memory: Any, kept: Path) -> None:
    outside = "/athanor/../outside.csv"
    memory.store[outside] = MemoryFile(memory, outside, b"id\n1\n")
    try:
        with pytest.raises(DataError, match=r"\.\./outside\.csv would be kept outside of its folder"):
            DelimitedFiles("memory://athanor").fetch(kept, None)
    finally:
        del memory.store[outside]
    assert list_names(kept) == []


def test_an_unsupported_url_is_refused_without_its_secrets(kept: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"nowhere://\*\*\*@host/a\.csv\?\*\*\*: no installed library reads this URL"
    ) as error:
        DelimitedFiles("nowhere://key:hunter2@host/a.csv?token=hunter2").fetch(kept, None)
    assert "hunter2" not in str(error.value)


def test_links_to_files_are_read_and_links_to_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "real.csv").write_text("x\n2\n")
    (tmp_path / "d" / "a.csv").write_text("x\n1\n")
    (tmp_path / "d" / "b.csv").symlink_to(tmp_path / "real.csv")
    for location in (tmp_path / "d", tmp_path / "d" / "*.csv"):
        into = tmp_path / f"into {location.name[0]}"
        into.mkdir()
        copy_files(location, into)
        assert sorted(path.name for path in into.iterdir()) == ["a.csv", "b.csv"]
    (tmp_path / "d" / "more").symlink_to(tmp_path / "d" / "sub")
    with pytest.raises(DataError, match=r"more is not a file, and links to folders are not followed"):
        copy_files(tmp_path / "d", tmp_path)


def test_a_file_of_a_package_is_found_without_importing_it(tmp_path: Path) -> None:
    copy_files(in_package("fsspec", "implementations/memory.py"), tmp_path)
    assert (tmp_path / "memory.py").read_bytes() == Path(memory_module.__file__).read_bytes()
    with pytest.raises(NotFoundError, match="this binary does not contain the package no_such_package"):
        copy_files(in_package("no_such_package", "data.csv"), tmp_path)


@pytest.mark.parametrize("character", "/?#@")
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(kept: Path, character: str) -> None:
    with pytest.raises(SettingsError, match=r"s3://\*\*\*.* is ambiguous; percent-encode the user") as error:
        DelimitedFiles(f"s3://key:hunt{character}er2@bucket/a.csv").fetch(kept, None)
    assert not {"hunt", "er2"} & {*re.findall("hunt|er2", str(error.value))}
