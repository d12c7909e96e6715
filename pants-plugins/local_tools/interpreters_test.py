"""Interpreters are looked for on PATH, under pyenv and with uv; one that does not work is passed over."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local_tools.interpreters import InterpreterNotFoundError, find_python

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
REAL = Path(sys.executable).resolve()


def write_command(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def as_interpreter(path: Path) -> None:
    write_command(path, f'exec "{REAL}" "$@"')


def test_one_on_path_is_found_behind_a_shim_that_fails(tmp_path: Path) -> None:
    write_command(tmp_path / f"shims/python{OURS}", "echo 'pyenv: command not found' >&2; exit 127")
    as_interpreter(tmp_path / f"bin/python{OURS}")
    environment = {"PATH": f"{tmp_path}/shims:{tmp_path}/bin", "HOME": str(tmp_path)}
    assert find_python(OURS, environment) == REAL


def test_one_of_another_version_is_passed_over(tmp_path: Path) -> None:
    as_interpreter(tmp_path / "bin/python3.0")
    with pytest.raises(InterpreterNotFoundError, match=r"uv python install 3\.0"):
        find_python("3.0", {"PATH": f"{tmp_path}/bin", "HOME": str(tmp_path)})


@pytest.mark.parametrize("variables", [{}, {"PYENV_ROOT": "{home}/elsewhere"}])
def test_one_under_pyenv_is_found(tmp_path: Path, variables: dict[str, str]) -> None:
    root = variables.get("PYENV_ROOT", "{home}/.pyenv").format(home=tmp_path)
    as_interpreter(Path(root, f"versions/{OURS}.1/bin/python{OURS}"))
    environment = {"PATH": "", "HOME": str(tmp_path), **({"PYENV_ROOT": root} if variables else {})}
    assert find_python(OURS, environment) == REAL


def test_uv_installs_one_where_there_is_none(tmp_path: Path) -> None:
    installed = tmp_path / "uv-python"
    as_interpreter(tmp_path / "prepared")
    find, install = f"[ -e {installed} ] && echo {installed}", f"cp {tmp_path}/prepared {installed}"
    write_command(tmp_path / "bin/uv", f'case "$2" in find) {find};; install) {install};; esac')
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    if any(Path(folder, f"python{OURS}").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("the system has an interpreter of this version, which comes first")
    assert find_python(OURS, environment) == REAL
