"""Seconds of each test file, from Pants' output at the end of a full run."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

# "✓ tests/a_test.py:tests succeeded in 6.94s (cached locally)." and, of tests that share a process,
# "✓ tests/a_test.py:tests and 7 other files succeeded in 88.00s."
_LINE: Final = re.compile(
    r"^\S (?P<file>\S+_test\.py)\S*(?P<more> and \d+ other files?)? succeeded in (?P<seconds>[\d.]+)s", re.M
)


class TimingsError(Exception):
    """A log is not from a full run in which all tests passed."""


def read_timings(log: str, tests: Iterable[str]) -> Mapping[str, float]:
    """Seconds of each test. Tests that shared a process share its time evenly.

    Raises:
        TimingsError: a test has no time: the log is of another tree, or the test did not pass.
    """
    wanted = frozenset(tests)
    found = {line["file"]: (float(line["seconds"]), line["more"] is not None) for line in _LINE.finditer(log)}
    seconds: dict[str, float] = {}
    for file, (spent, shared) in found.items():
        members = [file, *(_beside(file, wanted - found.keys()) if shared else ())]
        seconds.update(dict.fromkeys(members, spent / len(members)))
    if absent := sorted(wanted - seconds.keys()):
        raise TimingsError(f"no time of {', '.join(absent)} in the log; pass the log of a full, passing run")
    return {test: seconds[test] for test in wanted}


def _beside(file: str, tests: Iterable[str]) -> list[str]:
    """The tests of the same folder: one BUILD file declares which share a process."""
    folder = PurePosixPath(file).parent
    return [test for test in tests if PurePosixPath(test).parent == folder]
