"""The folder of tools: made once, complete or not at all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from local_tools import tools
from local_tools.pex_file import PexToolError, make_pex_file, pex_version
from local_tools.tools import Tools, find_or_make_tools


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The PEX files made, each in place of a real one: that needs the package index."""
    files: list[Path] = []

    def make(into: Path, scratch: Path, interpreter: Path, environment: Mapping[str, str]) -> None:
        into.write_text("pex")
        (scratch / "wheels").mkdir()
        files.append(into)

    monkeypatch.setattr(tools, "make_pex_file", make)
    monkeypatch.setattr(tools, "find_python", lambda version, environment: Path(sys.executable))
    return files


def test_they_are_made_once(tmp_path: Path, made: list[Path]) -> None:
    first = find_or_make_tools(tmp_path, {})
    assert find_or_make_tools(tmp_path, {}) == first
    assert len(made) == 1
    assert first.pex.read_text() == "pex"
    assert first.pex_digest() == "262f0d56e252a408a2cd66e65f1b32cca3633518067a7a773ab271849798932a|3"
    assert {*first.interpreters.iterdir()} == {first.pants_python, first.code_python}
    assert first.pants_python.resolve() == Path(sys.executable).resolve()
    assert not (first.folder / "scratch").exists()


def test_they_are_made_anew_when_an_interpreter_has_gone(tmp_path: Path, made: list[Path]) -> None:
    link = find_or_make_tools(tmp_path, {}).interpreters / "python3.11"
    link.unlink()
    link.symlink_to(tmp_path / "gone")
    assert find_or_make_tools(tmp_path, {}).are_complete()
    assert len(made) == 2


def test_what_was_interrupted_is_not_trusted(tmp_path: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(into: Path, scratch: Path, interpreter: Path, environment: Mapping[str, str]) -> None:
        into.write_text("half")
        raise PexToolError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(tools, "make_pex_file", fail)
        with pytest.raises(PexToolError):
            find_or_make_tools(tmp_path, {})
    assert not any(Tools(path).are_complete() for path in tmp_path.glob("athanor/pants/tools-*[0-9a-f]"))
    assert find_or_make_tools(tmp_path, {}).pex.read_text() == "pex"


def test_a_failure_names_the_command_its_words_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "venv").write_text("a file where a folder must be made")
    with pytest.raises(PexToolError) as error:
        make_pex_file(tmp_path / "pex", tmp_path, Path(sys.executable), {})
    assert pex_version() in str(error.value)
    assert "-m venv" in str(error.value)
    assert "pip.conf" in str(error.value)
