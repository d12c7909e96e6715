"""The code that this interpreter runs: loaded modules of ours, and the installed libraries.

Processes of a cluster work together only if all of them run the same code.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

_OURS: Final = ("athanor", "projects")
_GENERATED: Final = ("_pb2", "_pb2_grpc")
_LISTED: Final = 3


@dataclass(frozen=True)
class RunningCode:
    """Modules and libraries of a process.

    Attributes:
        modules: sha256 of the source of each loaded module of ours, by name.
        libraries: version of each installed library, by name.
    """

    modules: Mapping[str, str]
    libraries: Mapping[str, str]

    @classmethod
    def here(cls) -> "RunningCode":
        """The code of this process."""
        digests = {name: _digest(name) for name in _find_ours()}
        return cls({name: found for name, found in digests.items() if found}, _find_libraries())

    def find_differences(self) -> str:
        """What this process lacks or has in another version; "" if nothing. Additional code does no harm."""
        modules = {name: _digest(name) for name in self.modules}
        libraries = _find_libraries()
        return "; ".join((*_compare(self.modules, modules, "module"), *_compare(self.libraries, libraries, "library")))


def _find_ours() -> Iterator[str]:
    """Loaded modules of the layers and projects, and modules generated from our protos."""
    foreign = metadata.packages_distributions()
    for name in sorted(sys.modules):
        top = name.partition(".")[0]
        if top in _OURS or (name.endswith(_GENERATED) and top not in foreign):
            yield name


def _digest(module: str) -> str:
    """sha256 of a module's source; "" if it has no source."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.has_location or spec.origin is None:
        return ""
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def _find_libraries() -> Mapping[str, str]:
    return {found.name.lower().replace("_", "-"): found.version for found in metadata.distributions()}


def _compare(wanted: Mapping[str, str], found: Mapping[str, str], kind: str) -> Iterator[str]:
    lacking = [name for name in wanted if not found.get(name)]
    other = [name for name, version in wanted.items() if found.get(name) and found[name] != version]
    for names, verb in ((lacking, "lacks"), (other, "has another version of")):
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            yield f"{verb} {kind} {', '.join(names[:_LISTED])}{more}"
