"""Where everything that Athanor writes lies."""

from pathlib import Path

import pytest

from athanor.home import VARIABLE, Home


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)


def test_it_is_below_the_working_directory_by_default(tmp_path: Path) -> None:
    assert Home.find().path == tmp_path / ".athanor"


def test_the_variable_names_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    assert Home.find().path == tmp_path / "elsewhere"


def test_an_empty_variable_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert Home.find().path == tmp_path / ".athanor"


def test_what_is_given_comes_first_and_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    assert Home.find(Path("given")).path == tmp_path / "given"


def test_asking_for_folders_creates_none(tmp_path: Path) -> None:
    home = Home.find()
    folders = (home.raw, home.datasets, home.candidates, home.registry, home.store, home.service)
    assert len({*folders, home.path}) == 7
    assert all(folder.parent == home.path for folder in folders)
    assert list(tmp_path.iterdir()) == []


def test_the_release_store_is_that_of_the_home_unless_the_environment_names_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ATHANOR_STORE_URL", raising=False)
    assert Home(Path("/somewhere")).store_url == "/somewhere/store"
    monkeypatch.setenv("ATHANOR_STORE_URL", "memory://shared")
    assert Home(Path("/somewhere")).store_url == "memory://shared"
