"""Finds the CPython interpreters of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

# A pyenv shim may exist and fail, and a system may ship an interpreter that cannot make environments.
_PROBE = """
import ensurepip, os, sys, venv
if sys.version_info < (3, 12):
    import distutils.core  # which Debian packages apart
if "%d.%d" % sys.version_info[:2] != sys.argv[1] or sys.implementation.name != "cpython":
    sys.exit(1)
print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
"""


class InterpreterNotFoundError(Exception):
    """No working interpreter of a version was found; the message names the remedies."""


def find_python(version: str, environment: Mapping[str, str]) -> Path:
    """Return a CPython of a version (`3.11`): on PATH, under pyenv, known to uv, or installed by uv."""
    for candidate in _candidates(version, environment):
        real = _probe(version, candidate, environment)
        if real:
            return real
    raise InterpreterNotFoundError(
        f"CPython {version} is needed, and none that works is on PATH, under pyenv or known to uv. Do one of these, "
        f"then run this again: `uv python install {version}`, `pyenv install {version}`, or install python{version} "
        "with its venv module from your system's packages and have it on PATH."
    )


def _candidates(version: str, environment: Mapping[str, str]) -> Iterator[Path]:
    name = f"python{version}"
    for folder in environment.get("PATH", "").split(os.pathsep):
        yield Path(folder, name)
    home = Path(environment.get("HOME", "/"))
    for root in {Path(environment.get("PYENV_ROOT") or home / ".pyenv"): None, home / ".pyenv": None}:
        for installation in sorted(root.glob(f"versions/{version}.*")):
            yield installation / "bin" / name
    uv = shutil.which("uv", path=environment.get("PATH", ""))
    if uv:
        find = [uv, "python", "find", "--no-project", "--managed-python", version]
        yield _printed_path(find, environment)
        subprocess.run([uv, "python", "install", version], env=environment, capture_output=True, check=False)
        yield _printed_path(find, environment)


def _probe(version: str, candidate: Path, environment: Mapping[str, str]) -> Path | None:
    """The interpreter behind a command if it really is a complete CPython of the version."""
    if not (candidate.is_absolute() and os.access(candidate, os.X_OK)):
        return None
    real = _printed_path([str(candidate), "-I", "-c", _PROBE, version], environment)
    return real if real.is_absolute() else None


def _printed_path(command: list[str], environment: Mapping[str, str]) -> Path:
    """The path that a command prints; the empty path if it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return Path(done.stdout.strip() if done.returncode == 0 else "")
