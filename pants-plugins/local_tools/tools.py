"""The folder of tools that Pants needs and that differ by machine: two interpreters and the pex tool.

Run as a program, it makes the folder unless it is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # run as a file, by the script `pants`
    sys.path.insert(0, str(Path(__file__).parents[1]))

from local_tools.interpreters import InterpreterNotFoundError, find_python
from local_tools.pex_file import LOCK, PexToolError, make_pex_file, pex_version

_logger = logging.getLogger(__name__)
CODE_PYTHON = "3.11"
PANTS_PYTHON = "3.9"
# The interpreter below this process, which may be a virtual environment's.
_THIS_PYTHON = Path(sys.executable).resolve()


@dataclass(frozen=True)
class Tools:
    """Paths of the tools below one folder."""

    folder: Path

    @property
    def interpreters(self) -> Path:
        """Folder with a link to each interpreter, and nothing else: no other can be chosen by mistake."""
        return self.folder / "interpreters"

    @property
    def pants_python(self) -> Path:
        """The interpreter that Pants runs its tools with."""
        return self.interpreters / f"python{PANTS_PYTHON}"

    @property
    def code_python(self) -> Path:
        """The interpreter that our code runs with."""
        return self.interpreters / f"python{CODE_PYTHON}"

    @property
    def pex(self) -> Path:
        """PEX file of the pex tool."""
        return self.folder / "pex"

    def pex_digest(self) -> str:
        """Return `sha256|length` of the PEX file, as Pants writes it."""
        return (self.folder / "pex.digest").read_text()

    def are_complete(self) -> bool:
        """Tell whether all are there; an interpreter may have been removed since."""
        return all(os.access(python, os.X_OK) for python in (self.pants_python, self.code_python))


def find_or_make_tools(cache: Path, environment: Mapping[str, str]) -> Tools:
    """Return the tools below a cache folder of the user's; make them where they are missing.

    Raises InterpreterNotFoundError or PexToolError.
    """
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    tools = Tools(cache / f"athanor/pants/tools-{digest}")
    if tools.are_complete():
        return tools
    tools.folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{tools.folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until this process is gone, however it goes
        if not tools.are_complete():
            _replace(tools, environment)
    return tools


def _replace(tools: Tools, environment: Mapping[str, str]) -> None:
    """Make all in a folder beside, then rename it: only a complete folder bears the final name."""
    part = Path(f"{tools.folder}.part")
    for folder in (tools.folder, part):
        shutil.rmtree(folder, ignore_errors=True)
    scratch = part / "scratch"
    scratch.mkdir(parents=True)
    _make(Tools(part), scratch, environment)
    shutil.rmtree(scratch)
    part.rename(tools.folder)


def _make(tools: Tools, scratch: Path, environment: Mapping[str, str]) -> None:
    code_python = find_python(CODE_PYTHON, environment)
    tools.interpreters.mkdir()
    tools.pants_python.symlink_to(_THIS_PYTHON)
    tools.code_python.symlink_to(code_python)
    _logger.info("Building the pex tool %s (once for each version).", pex_version())
    make_pex_file(tools.pex, scratch, _THIS_PYTHON, environment)
    content = tools.pex.read_bytes()
    (tools.folder / "pex.digest").write_text(f"{hashlib.sha256(content).hexdigest()}|{len(content)}")


def main() -> int:
    """0: the folder is there; 69: a tool cannot be made."""
    logging.basicConfig(format="pants: %(message)s", level=logging.INFO)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    try:
        find_or_make_tools(Path(cache), os.environ)
    except (InterpreterNotFoundError, PexToolError) as error:
        _logger.error("%s", error)
        return os.EX_UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
