"""Pants as it is installed from the package index, without our script: it reads our pants.toml, and needs no more."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_tools.pex_file import pex_version

PROGRAM = """
import json, os, sys, zipfile

with zipfile.ZipFile(os.environ["PEX"]) as binary:
    built_by = json.loads(binary.read("PEX-INFO"))["build_properties"]
print((sys.version_info[:2], built_by["pex_version"]))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with our settings and plugins, and a program without requirements."""
    for name in ("pants.toml", "pants-plugins", "3rdparty"):
        (shutil.copytree if Path(name).is_dir() else shutil.copy)(name, tmp_path / name)
    for folder in ("src/python", "3rdparty/python", ".github"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "3rdparty/python/default.lock").touch()
    (tmp_path / "src/python/BUILD").write_text('python_sources()\npex_binary(name="app", entry_point="app.py")\n')
    (tmp_path / "src/python/app.py").write_text(PROGRAM)
    return tmp_path


def test_it_takes_the_pinned_pex_tool_and_the_interpreter_of_the_code(repository: Path) -> None:
    # Nothing in the environment is for Pants.
    passed = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME", "PATH") if name in os.environ}
    environment = {**passed, "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "pants", "--no-pantsd", "run", "src/python:app"]
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout) == ((3, 11), pex_version())
    assert "DEPRECATED" not in done.stderr
