"""Runs the examples in docstrings, and finds what should have one."""

import doctest
import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

_FLAGS: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def find_examples(*modules: ModuleType) -> list[doctest.DocTest]:
    """The docstrings with examples in some modules, one test each."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [found for module in modules for found in finder.find(module, module.__name__) if found.examples]


def run_example(example: doctest.DocTest, **names: Any) -> None:
    """Runs one docstring with its module's names and some more; fails with what doctest reports."""
    example.globs = {**example.globs, **names}
    report: list[str] = []
    doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=report.append)
    assert not report, "".join(report)


def names_without_example(module: ModuleType, imported: Iterable[str] = ()) -> set[str]:
    """The sources and gates of a module, and the classes and functions imported from it, that have no example."""
    expected = {*imported} | {
        name for name, value in vars(module).items() if hasattr(value, "fetch") or _is_gate(value)
    }
    return {name for name in expected if _is_own(module, name) and ">>> " not in (getattr(module, name).__doc__ or "")}


def _is_gate(value: object) -> bool:
    return inspect.isclass(value) and hasattr(value, "run") and hasattr(value, "name")


def _is_own(module: ModuleType, name: str) -> bool:
    """Whether a public class or function is defined here. A protocol's examples are its implementations."""
    value = getattr(module, name)
    is_code = inspect.isfunction(value) or (inspect.isclass(value) and not getattr(value, "_is_protocol", False))
    return is_code and value.__module__ == module.__name__ and not name.startswith("_")
