"""Checks the layout of the repository: no circle of modules, small folders, no private names of others, no dead links.

And no code outside the layer of tasks that asks which kind of label there is.
`./pants dependencies ::` checks who may import whom, by the rules in src/python/BUILD.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from structure.circles import find_circles
from structure.foreign import find_foreign
from structure.links import find_dead_links
from structure.modules import SOURCES, Repository, import_graph
from structure.questions import LAYER, find_questions

MOST_MODULES: Final = 12
# The one layer that may use what Ray and gRPC keep for themselves (docs/adr/0052).
ALLOWED: Final = "athanor/cluster"

_GATE_SAID_NO: Final = 3


def circles(repository: Repository) -> Iterator[str]:
    """Modules that import each other."""
    for circle in find_circles(import_graph(repository.modules)):
        way = " -> ".join((*circle, circle[0]))
        yield f"circle of imports: {way}. Move the shared part to a module that imports none of them"


def folders(repository: Repository) -> Iterator[str]:
    """Folders with more modules than a reader takes in at a glance; `__init__` does not count."""
    counted = Counter(module.folder for module in repository.modules if module.path.name != "__init__.py")
    for folder, count in sorted(counted.items()):
        if count > MOST_MODULES:
            yield f"{folder} has {count} modules; at most {MOST_MODULES} are allowed. Sort them into folders"


def private(repository: Repository) -> Iterator[str]:
    """Private names of Ray and gRPC, and Ray's environment variables, outside the one layer that may use them."""
    for module in repository.modules:
        if not module.path.is_relative_to(ALLOWED):
            for line, name in sorted(set(find_foreign(module))):
                yield f"{module.path}:{line}: {name} is private to Ray or gRPC. Use it in {ALLOWED}, and import that"


def links(repository: Repository) -> Iterator[str]:
    """Links of documents to files and headings that are not there."""
    for document, line, target in find_dead_links(repository.root):
        yield f"{document}:{line}: the link to {target} leads nowhere. Name a file and a heading that exist"


def questions(repository: Repository) -> Iterator[str]:
    """Code outside the layer of tasks that takes one kind of label for granted (docs/adr/0072)."""
    for module in repository.modules:
        if not module.path.is_relative_to(LAYER):
            for line, what in sorted(set(find_questions(module))):
                yield f"{module.path}:{line}: {what} takes one kind of label for granted. Ask the task, in {LAYER}"


CHECKS: Final[Mapping[str, Callable[[Repository], Iterator[str]]]] = {
    "circles": circles,
    "folders": folders,
    "private": private,
    "links": links,
    "questions": questions,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all checks passed; 3: one did not, and each violation is printed."""
    parser = argparse.ArgumentParser(prog="check", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"{', '.join(CHECKS)}; all by default")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: the working directory)")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.checks) - set(CHECKS)):
        parser.error(f"unknown check {', '.join(unknown)}; choose from {', '.join(CHECKS)}")
    repository = Repository(options.root)
    if not repository.modules:
        parser.error(f"there is no module below {repository.root / SOURCES}")
    violations = [found for name in options.checks or CHECKS for found in CHECKS[name](repository)]
    print("\n".join(violations) or f"structure: no violation in {len(repository.modules)} modules")
    return _GATE_SAID_NO if violations else 0


if __name__ == "__main__":
    sys.exit(main())
