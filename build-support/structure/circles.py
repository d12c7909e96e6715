"""Circles of modules that import each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter


def find_circles(graph: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Disjoint circles, importer before imported; the last module of each imports its first."""
    left = {name: set(imports) for name, imports in graph.items()}
    found = []
    while circle := _first_circle(left):
        found.append(circle)
        for name in circle:
            left.pop(name)
    return found


def _first_circle(graph: Mapping[str, set[str]]) -> tuple[str, ...]:
    present = {name: [other for other in sorted(imports) if other in graph] for name, imports in sorted(graph.items())}
    try:
        TopologicalSorter(present).prepare()
    except CycleError as error:
        # Its second argument lists the circle from imported to importer, the first one repeated at the end.
        return tuple(reversed(error.args[1][1:]))
    return ()
