"""The code that modules depend on: their sources, the sources of all our modules that they import, and libraries.

Imports are read from the sources, wherever they stand, so that it does not matter what else a process has loaded: the
same code has the same digest when it runs from sources, in a test and in a binary.
"""

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Final

# Generated from protos, whose fingerprints stand for them: the generator's version changes their text.
_GENERATED: Final = ("_pb2", "_pb2_grpc")


def digest_imported_code(roots: Iterable[str]) -> str:
    """sha256, in hexadecimal, over the code that modules depend on. Comments and layout do not count.

    Args:
        roots: names of modules of ours.
    """
    lines = [sys.version.partition(" ")[0]]
    modules, imported = follow_imports(roots)
    lines += (f"{name} {modules[name]}" for name in sorted(modules))
    lines += (f"{name}=={version}" for name, version in sorted(_find_libraries(imported).items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def follow_imports(roots: Iterable[str]) -> tuple[Mapping[str, str], set[str]]:
    """Digests of the roots and of all modules of ours that they import, by name; and the top names of all others."""
    digests: dict[str, str] = {}
    foreign: set[str] = set()
    waiting = [*roots]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if name in digests or top in foreign or name.endswith(_GENERATED):
            continue
        if top in sys.stdlib_module_names or top in _distributions():
            foreign.add(top)
            continue
        path = _find_source(name)
        if path is None:
            continue
        tree = ast.parse(path.read_bytes())
        digests[name] = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
        is_package = path.name == "__init__.py"
        waiting += _list_imports(tree, name if is_package else name.rpartition(".")[0])
        # A module's packages run before it does.
        waiting += filter(None, [name.rpartition(".")[0]])
    return digests, foreign


def _list_imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Names that may be modules, of all imports of a source, wherever in it they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _find_source(name: str) -> Path | None:
    """None if there is no such module: the name may be one of a value. Imports nothing."""
    if loaded := getattr(sys.modules.get(name), "__file__", None):
        return Path(loaded) if loaded.endswith(".py") else None
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    found = Path(spec.origin) if spec is not None and spec.origin is not None else None
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec is not None else []
    for part in rest:
        places = [folder / part for folder in folders]
        files = (file for place in places for file in (place / "__init__.py", place.with_suffix(".py")))
        found = next((file for file in files if file.is_file()), None)
        folders = places
    return found if found is not None and found.suffix == ".py" else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _find_libraries(imported: Iterable[str]) -> Mapping[str, str]:
    """Versions, by name, of the libraries that have some modules, and of all that these require."""
    owners = ({*_distributions().get(top, ())} for top in imported)
    # A name that several share, such as google, means others in an environment with more libraries: what is used of
    # these, another library requires.
    waiting = [*chain.from_iterable(found for found in owners if len(found) == 1)]
    versions: dict[str, str] = {}
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in versions:
            continue
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        versions[name] = found.version
        needed = (line for line in found.requires or () if "extra ==" not in line)
        waiting += (match[0] for match in map(re.compile(r"[\w.-]+").match, needed) if match)
    return versions
