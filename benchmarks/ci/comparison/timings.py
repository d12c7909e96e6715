"""Seconds of each test file, from Pants' output at the end of a full run."""

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any, Final

# "✓ tests/a_test.py:tests succeeded in 6.94s (cached locally)." and, of tests that share a process,
# "✓ tests/a_test.py:tests and 7 other files succeeded in 88.00s."
_LINE: Final = re.compile(
    r"^\S (?P<file>\S+_test\.py)\S*(?: and \d+ other files?)? succeeded in (?P<seconds>[\d.]+)s", re.M
)
# Tests share a process if these are alike.
_SHARED: Final = (
    "batch_compatibility_tag",
    "extra_env_vars",
    "interpreter_constraints",
    "resolve",
    "xdist_concurrency",
)


class TimingsError(Exception):
    """A log is not from a full run in which all tests passed."""


def read_processes(targets: str) -> Mapping[str, Hashable]:
    """By test, what names its process, from the output of `./pants peek ::`."""
    found: list[dict[str, Any]] = json.loads(targets)
    return {
        target["sources"][0]: tuple(str(target[name]) for name in _SHARED)
        if target["batch_compatibility_tag"]
        else target["address"]
        for target in found
        if target["target_type"] == "python_test"
    }


def read_timings(log: str, processes: Mapping[str, Hashable]) -> Mapping[str, float]:
    """Seconds of each test. Tests that shared a process share its time evenly.

    Raises:
        TimingsError: a test has no time: the log is of another tree, or the test did not pass.
    """
    members: dict[Hashable, list[str]] = defaultdict(list)
    for test, process in processes.items():
        members[process].append(test)
    spent = {processes.get(line["file"]): float(line["seconds"]) for line in _LINE.finditer(log)}
    if absent := sorted(test for test, process in processes.items() if process not in spent):
        raise TimingsError(f"no time of {', '.join(absent)} in the log; pass the log of a full, passing run")
    return {test: spent[process] / len(members[process]) for test, process in processes.items()}
