"""Code that a process needs after the folder it was started from is gone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from athanor.system.code.import_path import child_variables
from athanor.system.code.kept_code import keep_code

_PRINT = "import of_the_sandbox; print(of_the_sandbox.ANSWER)"


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sources as `pants run` makes it."""
    folder = tmp_path / "sandbox" / "src"
    folder.mkdir(parents=True)
    (folder / "of_the_sandbox.py").write_text("ANSWER = 42\n")
    monkeypatch.setenv("PEX_EXTRA_SYS_PATH", os.pathsep.join([str(folder), str(folder)]))
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def _run(variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _PRINT], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def test_a_process_finds_its_code_after_the_sandbox_is_gone(sandbox: Path, tmp_path: Path) -> None:
    variables = dict(keep_code(tmp_path / "kept"))
    shutil.rmtree(sandbox)
    assert _run({}).returncode != 0
    assert _run(variables).stdout == "42\n"
    assert str(sandbox) not in "".join(variables.values())


def test_a_copy_is_replaced(sandbox: Path, tmp_path: Path) -> None:
    keep_code(tmp_path / "kept")
    (sandbox / "of_the_sandbox.py").write_text("ANSWER = 43\n")
    assert _run(dict(keep_code(tmp_path / "kept"))).stdout == "43\n"


def test_a_binary_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEX_EXTRA_SYS_PATH", raising=False)
    variables = keep_code(tmp_path / "kept")
    assert variables == child_variables()
    assert not (tmp_path / "kept").exists()
