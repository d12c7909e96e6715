"""The modules of a repository, and which of them each one imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

SOURCES: Final = Path("src/python")


@dataclass(frozen=True)
class Module:
    """One file of Python.

    Attributes:
        path: from the source root.
    """

    path: PurePosixPath
    tree: ast.Module

    @property
    def name(self) -> str:
        """Name as an import writes it; for a package, the name of its folder."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def folder(self) -> PurePosixPath:
        """From the source root."""
        return self.path.parent


@dataclass(frozen=True)
class Repository:
    """A working tree, whose modules are read once."""

    root: Path

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """All modules below the source root, in order of their paths."""
        sources = self.root / SOURCES
        return tuple(
            Module(PurePosixPath(path.relative_to(sources)), ast.parse(path.read_text(encoding="utf-8"), str(path)))
            for path in sorted(sources.rglob("*.py"))
        )


def imported_names(module: Module) -> Iterator[tuple[str, int]]:
    """Every dotted name that a module imports, inside functions too, with its line.

    `from a.b import c` gives `a.b.c`: only the reader of all modules can say whether `c` is one of them.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = _absolute(module, node)
            yield from ((f"{prefix}.{alias.name}", node.lineno) for alias in node.names)


def import_graph(modules: Iterable[Module]) -> Mapping[str, frozenset[str]]:
    """The modules that each module imports, by name. Libraries, and the packages around a module, are left out."""
    known = {module.name: module for module in modules}
    return {
        name: frozenset(_owner(imported, known) for imported, _ in imported_names(module)) - {"", name}
        for name, module in known.items()
    }


def _owner(name: str, known: Mapping[str, Module]) -> str:
    """The module that an imported name is, or lies in; empty where it is none of ours."""
    if name in known:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in known else ""


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.folder.parts
    parts = package[: len(package) - node.level + 1]
    return ".".join((*parts, *([node.module] if node.module else [])))
