"""Asks what an edit selects, with the program that CI and people run, but without the bootstrap.

After an edit of the bootstrap or its locks, the bootstrap would install Pants again.
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
# The program's sign for everything, which saves asking Pants for names.
_ALL: Final = "::"
_TIMEOUT_S: Final = 600.0
# Last lines of its log, for the message of a failure.
_LINES: Final = 12


@dataclass(frozen=True)
class Answer:
    """Selection of an edit.

    Attributes:
        reason: why everything is selected, in some goal; else None.
        seconds: until the answer.
    """

    selection: Selection
    reason: str | None
    seconds: float


def ask(scratch: Scratch, everything: Selection) -> Answer:
    """Selection of the differences from the base of a scratch clone.

    Args:
        everything: all names at the base, for an edit that selects everything.
    """
    start = time.monotonic()
    selection, reason = read_answer(_ask(scratch.root, "--since", scratch.base, "--brief"), everything)
    return Answer(selection, reason, time.monotonic() - start)


def ask_for_everything(scratch: Scratch) -> Selection:
    """All names that can be selected."""
    return read_answer(_ask(scratch.root, "--all"))[0]


def read_answer(text: str, everything: Selection | None = None) -> tuple[Selection, str | None]:
    """Reads the program's output for machines.

    Args:
        everything: the names that `::` stands for; None while asking for them.

    Raises:
        AskError: it is malformed.
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
        raise AskError(f"{_MODULE} {' '.join(what)} did not finish within {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-_LINES:])
        raise AskError(f"{_MODULE} {' '.join(what)} ended with {done.returncode}:\n{last}")
    return done.stdout
