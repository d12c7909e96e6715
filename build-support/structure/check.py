"""Checks how src/python is laid out: no circle of modules, small folders, no private names of Ray or gRPC.

Who may import whom is checked by `./pants dependencies ::`, by the rules in src/python/BUILD.
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
from structure.modules import Module, import_graph, read_modules

ROOT: Final = Path("src/python")
MOST_MODULES: Final = 12
# The one layer that may use what Ray and gRPC keep for themselves (docs/adr/0052).
ALLOWED: Final = "athanor/cluster"

_GATE_SAID_NO: Final = 3


def circles(modules: Sequence[Module]) -> Iterator[str]:
    """Modules that import each other."""
    for circle in find_circles(import_graph(modules)):
        way = " -> ".join((*circle, circle[0]))
        yield f"circle of imports: {way}. Move the shared part to a module that imports none of them"


def folders(modules: Sequence[Module]) -> Iterator[str]:
    """Folders with more modules than a reader takes in at a glance; `__init__` does not count."""
    counted = Counter(module.folder for module in modules if module.path.name != "__init__.py")
    for folder, count in sorted(counted.items()):
        if count > MOST_MODULES:
            yield f"{folder} has {count} modules; at most {MOST_MODULES} are allowed. Sort them into folders"


def private(modules: Sequence[Module]) -> Iterator[str]:
    """Private names of Ray and gRPC, and Ray's environment variables, outside the one layer that may use them."""
    for module in modules:
        if not module.path.is_relative_to(ALLOWED):
            for line, name in sorted(set(find_foreign(module))):
                yield f"{module.path}:{line}: {name} is private to Ray or gRPC. Use it in {ALLOWED}, and import that"


CHECKS: Final[Mapping[str, Callable[[Sequence[Module]], Iterator[str]]]] = {
    "circles": circles,
    "folders": folders,
    "private": private,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all checks passed; 3: one did not, and each violation is printed."""
    parser = argparse.ArgumentParser(prog="check", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"{', '.join(CHECKS)}; all by default")
    parser.add_argument("--root", type=Path, default=ROOT, help="the source root (default: %(default)s)")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.checks) - set(CHECKS)):
        parser.error(f"unknown check {', '.join(unknown)}; choose from {', '.join(CHECKS)}")
    modules = read_modules(options.root)
    if not modules:
        parser.error(f"there is no module below {options.root}")
    violations = [found for name in options.checks or CHECKS for found in CHECKS[name](modules)]
    print("\n".join(violations) or f"structure: {len(modules)} modules, no violation")
    return _GATE_SAID_NO if violations else 0


if __name__ == "__main__":
    sys.exit(main())
