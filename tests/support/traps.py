"""A folder full of modules that no process may import: each leaves a mark when it runs."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Final

# What Python imports when it starts, and what is ours.
_OTHERS: Final = ("sitecustomize", "usercustomize", "athanor", "projects", "delays", "flight_delay", "inference")
_TRAP: Final = 'open(__file__ + ".ran", "a").close()\nraise ImportError("a trap was imported")\n'


def set_traps(folder: Path) -> Path:
    """Makes a folder with a module for each name of Python's, of the installed libraries' and of ours."""
    folder.mkdir()
    for name in {*sys.stdlib_module_names, *metadata.packages_distributions(), *_OTHERS}:
        (folder / f"{name.replace('/', '.')}.py").write_text(_TRAP)
    return folder


def find_sprung(folder: Path) -> list[str]:
    """Names of the modules that a process has imported."""
    return sorted(mark.name.removesuffix(".py.ran") for mark in folder.glob("*.ran"))
