"""What only the layer of tasks may know: which kind of label there is, and how an estimator of it answers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from structure.modules import Module, imported_names

LAYER: Final = "athanor/tasks"
KINDS: Final = frozenset({"binary", "multiclass", "regression"})
"""Modules of the layer that are about one kind of label, and the names of the kinds."""

# They handle neither labels nor answers, and may take columns of what they like.
_OTHERS: Final = ("athanor/data/", "athanor/features/", "projects/")
_OF_CLASSIFIERS: Final = frozenset({"predict_proba", "predict_log_proba", "decision_function"})
_SECOND: Final = frozenset({"(:, 1)", "(slice(None), 1)", "(..., 1)"})


def find_questions(module: Module) -> Iterator[tuple[int, str]]:
    """Each place that takes one kind of label for granted, with its line.

    It imports what is about one kind, compares with the name of one, asks a classifier for probabilities, or takes the
    second column of an array, which is the probability of true only where every label is a bool.
    """
    for name, line in imported_names(module):
        if name.startswith("athanor.tasks.") and name.split(".")[2] in KINDS:
            yield line, name
    takes_columns = not str(module.path).startswith(_OTHERS)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in _OF_CLASSIFIERS:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Subscript) and takes_columns and ast.unparse(node.slice) in _SECOND:
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Compare | ast.Match) and _names_kind(node):
            yield node.lineno, ast.unparse(node).partition("\n")[0]


def _names_kind(node: ast.Compare | ast.Match) -> bool:
    """Whether it compares a name with those of the kinds. scikit-learn calls a type of targets `multiclass` too."""
    parts = tuple(ast.walk(node))
    has_name = any(isinstance(part, ast.Attribute) and part.attr == "name" for part in parts)
    return has_name and any(isinstance(part, ast.Constant) and part.value in KINDS for part in parts)
