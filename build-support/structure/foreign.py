"""Names that Ray and gRPC keep for themselves: private modules, private attributes, Ray's environment variables."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from structure.modules import Module, imported_names

PACKAGES: Final = frozenset({"ray", "grpc"})

_PRIVATE_IN_TEXT: Final = re.compile(r"\b(?:ray|grpc)(?:\.\w+)*\._(?!_)\w+")
# Not ATHANOR_RAY_…, which is ours.
_VARIABLE: Final = re.compile(r"(?<!\w)_*RAY_[A-Z]\w*")


def find_foreign(module: Module) -> Iterator[tuple[int, str]]:
    """Each use of a name that is private to Ray or gRPC, with its line. Docstrings and comments may name them."""
    yield from ((line, name) for name, line in imported_names(module) if _is_private(name))
    aliases = _aliases(module.tree)
    prose = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _is_hidden(node.attr) and _root(node) in aliases:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from ((node.lineno, text) for text in _in_text(node.value))


def _in_text(text: str) -> Iterator[str]:
    for pattern in (_PRIVATE_IN_TEXT, _VARIABLE):
        yield from (found.group() for found in pattern.finditer(text))


def _is_private(name: str) -> bool:
    first, *others = name.split(".")
    return first in PACKAGES and any(map(_is_hidden, others))


def _is_hidden(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


def _aliases(tree: ast.Module) -> frozenset[str]:
    """The names by which a module knows what it imported from the packages."""
    return frozenset(
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0] in PACKAGES
    )


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
