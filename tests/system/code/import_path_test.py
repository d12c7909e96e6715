"""No interpreter that a program of ours starts imports anything from the folder that it starts in."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from support.traps import find_sprung, set_traps

from athanor.system.code.import_path import SAFE, child_variables

# As libraries do: by `-c`, by `-m`, and by Python's own `multiprocessing`.
_START: Final = """
import multiprocessing, subprocess, sys
subprocess.run([sys.executable, "-c", "import uuid"], stderr=subprocess.DEVNULL)
subprocess.run([sys.executable, "-m", "timeit", "-n1", "-r1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=print)
    child.start()
    child.join()
"""
_PROTECT: Final = "from athanor.system.code.import_path import protect_imports\nprotect_imports()\n"


def _unprotected() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in SAFE}
    return {**kept, "PYTHONPATH": child_variables()["PYTHONPATH"]}


def _run(flags: list[str], program: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {**_unprotected(), **variables}
    return subprocess.run(
        [sys.executable, *flags, "-c", program], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("is_protected", [True, False])
def test_children_import_nothing_from_their_folder(tmp_path: Path, is_protected: bool) -> None:
    traps = set_traps(tmp_path / "traps")
    done = _run(["-P"], _PROTECT + _START if is_protected else _START, traps)
    assert (done.returncode, done.stderr) == (0, "") or not is_protected
    sprung = find_sprung(traps)
    assert sprung == [] if is_protected else "uuid" in sprung


def test_children_of_a_binary_ignore_what_it_ignores(tmp_path: Path) -> None:
    """A binary runs with `-I`: variables that would lead its children astray have no effect on it."""
    traps = set_traps(tmp_path / "traps")
    paths = child_variables()["PYTHONPATH"].split(os.pathsep)
    program = f"import sys\nsys.path[:0] = {paths}\n{_PROTECT}{_START}"
    done = _run(["-I"], program, tmp_path, PYTHONPATH=str(traps), PYTHONHOME=str(traps))
    assert (done.returncode, done.stderr) == (0, "")
    assert find_sprung(traps) == []


@pytest.mark.parametrize("flags", [[], ["-P"]])
def test_the_folder_of_a_module_that_runs_leaves_the_path_of_it_and_its_children(
    tmp_path: Path, flags: list[str]
) -> None:
    shown = "import os, sys\nprint(*sys.path, *os.environ['PYTHONPATH'].split(os.pathsep), sep='\\n')\n"
    (tmp_path / "program.py").write_text(f"__spec__.name = 'athanor.program'\n{_PROTECT}{shown}")
    env = _unprotected()
    command = [sys.executable, "-m", "program"]
    if flags:
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    done = subprocess.run(
        [command[0], *flags, *command[1:]], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Who names the folder in PYTHONPATH keeps it.
    assert (str(tmp_path) in done.stdout.splitlines()) == bool(flags)
