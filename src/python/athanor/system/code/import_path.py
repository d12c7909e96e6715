"""What interpreters that we start import: what this one does, and nothing from the folder that they start in.

`python -m` and `python -c` put the working folder first on the import path, before the standard library: a `uuid.py`
there would run in place of Python's own.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Python reads them when it starts, and passes them on to its own children.
SAFE: Final = {"PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}


def child_variables(replaced: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables of an interpreter that imports what this one does, and nothing else.

    Args:
        replaced: folders, by the entry of `sys.path` that each stands for.
    """
    # Absolute: a child may start in another folder.
    paths = ((replaced or {}).get(path, str(Path(path).absolute())) for path in sys.path if path)
    return {**SAFE, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def protect_imports() -> None:
    """Has this process, and all that it starts, import nothing more from its working folder.

    Libraries start interpreters too, as joblib does, and pass on the environment alone.
    """
    if _begins_with_folder():
        del sys.path[0]
    os.environ.update(child_variables())
    if sys.flags.ignore_environment:
        # A binary has ignored it: so do its children.
        os.environ.pop("PYTHONHOME", None)


def _begins_with_folder() -> bool:
    """Whether `python -m` of a program of ours began the import path with the working folder."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if sys.flags.safe_path or spec is None or not spec.name.startswith("athanor."):
        return False
    try:
        return sys.path[:1] == [str(Path.cwd())]
    except FileNotFoundError:
        return False
