"""Code for a process that outlives this one.

`pants run` of a module lays its sources out in a temporary folder, which it names in a variable of the pex tool, and
removes the folder when the command ends. A service that the command has left running must not lose its code.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from athanor.system.code.import_path import child_variables

_VARIABLE: Final = "PEX_EXTRA_SYS_PATH"


def keep_code(folder: Path) -> Mapping[str, str]:
    """Variables with the import path for a process that outlives this one.

    Args:
        folder: for copies of temporary folders of sources; replaced if it exists. A binary needs none.
    """
    temporary = dict.fromkeys(path for path in os.environ.get(_VARIABLE, "").split(os.pathsep) if path)
    shutil.rmtree(folder, ignore_errors=True)
    copies = {path: _copy(Path(path), folder / str(number)) for number, path in enumerate(temporary)}
    kept = {_VARIABLE: os.pathsep.join(copies.values())} if copies else {}
    return {**kept, **child_variables(copies)}


def _copy(source: Path, target: Path) -> str:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    return str(target)
