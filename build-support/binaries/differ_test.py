"""Two builds are equal byte for byte, or the first member in which they differ is named."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from binaries.differ import compare, find_difference


def archive(path: Path, *, second: str = "b", text: str = "2", year: int = 1980, extra: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(zipfile.ZipInfo("a"), "1")
        file.writestr(zipfile.ZipInfo(second, (year, 1, 1, 0, 0, 0)), text)
        if extra:
            file.writestr(zipfile.ZipInfo("c"), "3")
    return path


def test_equal_bytes_have_no_difference(tmp_path: Path) -> None:
    assert find_difference(archive(tmp_path / "one"), archive(tmp_path / "other")) is None


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    one = archive(tmp_path / "one")
    other = tmp_path / "other"
    assert find_difference(one, archive(other, text="3")) == "b: its content"
    assert find_difference(one, archive(other, year=1981)) == "b: its time"
    assert find_difference(one, archive(other, second="x")) == "b: the other has x at its place"
    assert find_difference(one, archive(other, extra=True)) == "c: in one only"


def test_what_differs_outside_of_members_is_noticed(tmp_path: Path) -> None:
    one, other = archive(tmp_path / "one"), archive(tmp_path / "other")
    other.write_bytes(b"#!/bin/true\n" + other.read_bytes())
    assert find_difference(one, other) == "no member: only the bytes between members"


def test_a_real_binary_and_its_copy_are_equal_and_another_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        shutil.copy("client.pex", folder)
    assert compare(here, there, ["client"]) == 0
    with zipfile.ZipFile(there / "client.pex", "a") as file:
        file.writestr("more.txt", "more")
    assert compare(here, there, ["client"]) == 3
    assert "DIFFERS, first in more.txt: in one only" in capsys.readouterr().out
