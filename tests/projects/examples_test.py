"""Everything that a project declares with has an example in its docstring."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.examples import names_without_example

import projects  # pants: no-infer-dep - the namespace of all projects is no module
from athanor.data import sources
from athanor.training import gates

_LAYERS = ("athanor.data.", "athanor.features.", "athanor.training.")


def _imported() -> Iterator[tuple[str, str]]:
    """What projects import from our layers: module and name."""
    for path in Path(projects.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_LAYERS):
                yield from ((node.module or "", alias.name) for alias in node.names)


def _declarative() -> Iterator[str]:
    """All modules of sources and gates, and those that projects import."""
    for room in (sources, gates):
        yield from (found.name for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."))
    yield from (module for module, _ in _imported())


@pytest.mark.parametrize("module", sorted({*_declarative()}))
def test_what_projects_use_has_an_example(module: str) -> None:
    names = {name for used, name in _imported() if used == module}
    assert names_without_example(importlib.import_module(module), names) == set()


def test_what_has_no_example_is_found() -> None:
    made = ModuleType("made")
    source = """
class Gate:
    "No example."
    name = "gate"
    def run(self, evidence): ...
class Source:
    def fetch(self, folder, since): ...
class Helper: ...
def used(): ...
def shown():
    ">>> shown()"
"""
    exec(compile(source, "made.py", "exec"), made.__dict__)  # noqa: S102
    assert names_without_example(made, {"used", "shown"}) == {"Gate", "Source", "used"}
