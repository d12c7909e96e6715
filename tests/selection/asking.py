"""Asks what an edit selects: by the very program that CI and people run, without the bootstrap that finds it a Python.

An edit of what installs Pants would have the bootstrap install it anew.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from selection.cases import Selection
from selection.errors import AskError
from selection.scratch import Scratch, environment

_MODULE: Final = "ci.affected"
_FOLDER: Final = "build-support"
# What the program says for all there is, where it need not ask Pants for the names.
_ALL: Final = "::"
_TIMEOUT_S: Final = 600.0
# A line of its log is of no interest unless it fails; these are the last ones.
_LINES: Final = 12


@dataclass(frozen=True)
class Answer:
    """What an edit selects.

    Attributes:
        reason: why everything is selected, in some goal; else None.
        seconds: until the answer was there.
    """

    selection: Selection
    reason: str | None
    seconds: float


def ask(scratch: Scratch, everything: Selection) -> Answer:
    """What differs from the base of a scratch clone, and all that depends on it.

    Args:
        everything: all there is to select at the base, for an edit that selects all.
    """
    start = time.monotonic()
    selection, reason = read_answer(_ask(scratch.root, "--since", scratch.base, "--brief"), everything)
    return Answer(selection, reason, time.monotonic() - start)


def ask_for_everything(scratch: Scratch) -> Selection:
    """All there is to select."""
    return read_answer(_ask(scratch.root, "--all"))[0]


def read_answer(text: str, everything: Selection | None = None) -> tuple[Selection, str | None]:
    """What the program prints for machines.

    Args:
        everything: what stands behind `::`; None where that is what is asked for.

    Raises:
        AskError: it is something else.
    """
    try:
        said: dict[str, Any] = json.loads(text)
        tests, packages, reason = frozenset(said["tests"]), frozenset(said["packages"]), said["reason"]
    except (KeyError, TypeError, ValueError) as error:
        raise AskError(f"{_MODULE} printed no answer for machines: {text[:500]!r}") from error
    if everything is not None:
        tests = everything.tests if _ALL in tests else tests
        packages = everything.binaries | everything.images if _ALL in packages else packages
    images = frozenset(address for address in packages if address.startswith(("docker:", "docker/")))
    return Selection(tests, packages - images, images), reason


def _ask(root: Path, *what: str) -> str:
    command = [sys.executable, "-EsB", "-m", _MODULE, *what, "--dry-run", "--json"]
    try:
        done = subprocess.run(
            command,
            cwd=root / _FOLDER,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AskError(f"{_MODULE} {' '.join(what)} did not end within {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-_LINES:])
        raise AskError(f"{_MODULE} {' '.join(what)} ended with {done.returncode}:\n{last}")
    return done.stdout
