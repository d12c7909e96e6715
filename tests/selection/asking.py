"""Asks what an edit selects: by the very program that CI and people run."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from selection.cases import Selection
from selection.errors import AskError
from selection.scratch import Scratch, environment

_COMMAND: Final = "build-support/ci/affected"
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


def ask(scratch: Scratch) -> Answer:
    """What differs from the base of a scratch clone, and all that depends on it."""
    return _ask(scratch.root, "--since", scratch.base)


def ask_for_everything(scratch: Scratch) -> Selection:
    """All there is to select."""
    return _ask(scratch.root, "--all").selection


def read_answer(text: str) -> tuple[Selection, str | None]:
    """What the program prints for machines.

    Raises:
        AskError: it is something else.
    """
    try:
        said: dict[str, Any] = json.loads(text)
        images = frozenset(address for address in said["packages"] if address.startswith(("docker:", "docker/")))
        selection = Selection(frozenset(said["tests"]), frozenset(said["packages"]) - images, images)
        return selection, said["reason"]
    except (KeyError, TypeError, ValueError) as error:
        raise AskError(f"{_COMMAND} printed no answer for machines: {text[:500]!r}") from error


def _ask(root: Path, *what: str) -> Answer:
    command = [str(root / _COMMAND), *what, "--dry-run", "--json"]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AskError(f"{_COMMAND} {' '.join(what)} did not end within {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-_LINES:])
        raise AskError(f"{_COMMAND} {' '.join(what)} ended with {done.returncode}:\n{last}")
    selection, reason = read_answer(done.stdout)
    return Answer(selection, reason, time.monotonic() - start)
