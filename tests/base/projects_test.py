"""Projects are found by where they stand."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from athanor.errors import ContractError, NotFoundError
from athanor.features.features import Model
from athanor.projects import find_projects, load
from projects.delays.model import MODEL


@pytest.fixture
def neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project beside the real ones, to write modules into."""
    folder = tmp_path / "projects" / "neighbour"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    package = importlib.import_module("projects")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder.parent)])
    yield folder
    for name in [name for name in sys.modules if name.startswith("projects.neighbour")]:
        del sys.modules[name]


def test_a_project_is_found_by_each_of_its_modules() -> None:
    assert "delays" in find_projects("model")
    assert load("delays", "model", Model) is MODEL


def test_a_project_is_found_only_by_modules_that_it_has(neighbour: Path) -> None:
    (neighbour / "source.py").touch()
    assert "neighbour" in find_projects("source")
    assert "neighbour" not in find_projects("model")


def test_projects_are_sorted_and_files_are_not_projects(neighbour: Path) -> None:
    (neighbour / "model.py").touch()
    (neighbour.parent / "stray.py").touch()
    found = find_projects("model")
    assert list(found) == sorted(found)
    assert "stray" not in found


def test_an_unknown_project_is_named_beside_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match=r"no project 'weather' with a module model\.py; .* one: .*delays"):
        load("weather", "model", Model)


@pytest.mark.parametrize("name", ["", "..", "delays.model", "__init__", "flight-delay"])
def test_an_invalid_project_name_is_not_found(name: str) -> None:
    with pytest.raises(NotFoundError):
        load(name, "model", Model)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("MODEL = 1 / 0", "ZeroDivisionError: division by zero, in line 1 of model.py"),
        ("import numpy\nMODEL = numpy.nothing", "AttributeError: .* in line 2 of model.py"),
        ("MODEL = (", r"SyntaxError: .*model\.py, line 1"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library', in line 1 of model.py"),
    ],
)
def test_a_module_that_fails_is_named_with_its_line(neighbour: Path, code: str, told: str) -> None:
    (neighbour / "model.py").write_text(code)
    with pytest.raises(ContractError, match=rf"projects\.neighbour\.model cannot be imported: {told}.*; correct it"):
        load("neighbour", "model", Model)


@pytest.mark.parametrize("code", ["", "MODEL = 'a model'", "model = None"])
def test_a_module_that_declares_something_else_is_refused(neighbour: Path, code: str) -> None:
    (neighbour / "model.py").write_text(code)
    with pytest.raises(ContractError, match=r"projects\.neighbour\.model must declare MODEL as a Model"):
        load("neighbour", "model", Model)


def test_a_binary_without_projects_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "projects", None)
    assert find_projects("model") == ()
