"""Makes a PEX file of the pex tool from its own wheel, which the lock pins by hash."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

LOCK = Path(__file__).parents[2] / "3rdparty/tools/pex.lock"
_PIP = ("-I", "-m", "pip", "-qq", "--no-input", "--disable-pip-version-check")


class PexToolError(Exception):
    """The pex tool could not be made; the message has the reason and the remedy."""


def pex_version() -> str:
    """Return the version that the lock pins."""
    found = re.search(r"^pex==(\S+)", LOCK.read_text(), re.MULTILINE)
    if not found:
        raise PexToolError(f"{LOCK} pins no version of pex: make it anew with `./pants lock --only pex`.")
    return found.group(1)


def make_pex_file(into: Path, scratch: Path, interpreter: Path, environment: Mapping[str, str]) -> None:
    """Write the PEX file; `scratch` is an empty folder for what is needed meanwhile."""
    wheels, source, python = scratch / "wheels", scratch / "source", scratch / "venv/bin/python"
    # Pants' own environment need not have pip.
    _run([interpreter, "-I", "-m", "venv", scratch / "venv"], environment)
    pinned = ("--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement", LOCK)
    _run([python, *_PIP, "download", *pinned, "--dest", wheels], environment)
    _run([python, *_PIP, "install", "--no-index", "--no-deps", "--target", source, *wheels.iterdir()], environment)
    # It packs itself, from nothing but its own wheel.
    own = ("pex", "--no-pypi", "--find-links", wheels, "--console-script", "pex", "--output-file", into)
    itself = {"PYTHONPATH": str(source), "PEX_ROOT": str(scratch / "root")}
    _run([python, "-m", "pex", *own], {**environment, **itself})


def _run(command: list[str | Path], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise PexToolError(
            f"The pex tool {pex_version()} could not be made from {LOCK}: `{' '.join(map(str, command))}` exited with "
            f"{done.returncode}: {said}\nIt needs the package index once. Pants' daemon knows neither PIP_* nor proxy "
            "variables: where pip needs them, run `./pants --version` once, which passes them on, or set pip.conf."
        )
