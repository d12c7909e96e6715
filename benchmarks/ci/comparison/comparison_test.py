"""Reading the log of a full run, and writing the results of an edit."""

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from ci.comparison.report import PROJECT_EDITS, Full, Row, evaluate, write
from ci.comparison.timings import TimingsError, read_processes, read_timings
from suite.results import KEPT_FROM

_LOG: Final = """\
✓ tests/a/one_test.py:tests succeeded in 6.94s (cached locally).
✓ tests/b/one_test.py:tests and 1 other file succeeded in 8.00s.
✓ tests/b/alone_test.py:../tests succeeded in 1.50s.
"""
_BATCH: Final[dict[str, Any]] = {"target_type": "python_test", "batch_compatibility_tag": "b", "resolve": None}
_TARGETS: Final[list[dict[str, Any]]] = [
    {"sources": ["tests/a/one_test.py"], **_BATCH, "batch_compatibility_tag": None},
    {"sources": ["tests/b/alone_test.py"], **_BATCH, "resolve": "other"},
    {"sources": ["tests/b/one_test.py"], **_BATCH},
    {"sources": ["tests/b/deeper/two_test.py"], **_BATCH},
    {"sources": ["src/a.py"], **_BATCH, "target_type": "python_source"},
]
_REST: Final = ("extra_env_vars", "interpreter_constraints", "xdist_concurrency")


def _processes() -> Mapping[str, Hashable]:
    targets = [{"address": f"{target['sources'][0]}:tests", **dict.fromkeys(_REST), **target} for target in _TARGETS]
    return read_processes(json.dumps(targets))


def test_tests_that_share_a_process_share_its_time() -> None:
    assert read_timings(_LOG, _processes()) == {
        "tests/a/one_test.py": 6.94,
        "tests/b/alone_test.py": 1.5,
        "tests/b/one_test.py": 4.0,
        "tests/b/deeper/two_test.py": 4.0,
    }


@pytest.mark.parametrize(
    "log", [_LOG.replace("✓ tests/a/one_test.py:tests succeeded", "✕ tests/a/one_test.py:tests failed"), ""]
)
def test_a_test_that_did_not_pass_has_no_time(log: str) -> None:
    with pytest.raises(TimingsError, match=r"no time of tests/a/one_test\.py"):
        read_timings(log, _processes())


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    rows = [Row("a document", 0, 0.0), Row("the client", 20, 0.1, 0.2, 30.0, 240.0)]
    write(rows, Full(1200.0, 20.0), "A machine.", results)
    results.write_text(results.read_text() + "\n- By hand.\n")
    write(rows, Full(1200.0, 20.0), "Another machine.", results)
    text = results.read_text()
    assert "| a document | 0 | 0% |  |  |  |  |" in text
    assert "| the client | 20 | 10% | 20% | 30 s | 240 s | 20% |" in text
    assert "Everything, cold: 1,200 s; everything again, unchanged: 20 s." in text
    assert "Another machine." in text
    assert "A machine." not in text
    assert text.endswith(f"{KEPT_FROM}\n\n- By hand.\n")


@pytest.mark.parametrize(
    ("share", "cold_s", "reached"),
    [(0.25, 240.0, [True, True]), (0.26, 240.0, [False, True]), (0.25, 241.0, [True, False])],
)
def test_the_worst_edit_of_a_project_counts(share: float, cold_s: float, reached: list[bool]) -> None:
    best, worst, other = PROJECT_EDITS[0], PROJECT_EDITS[1], "the client"
    rows = [Row(best, 1, 0.01, 0.01, 9.0, 10.0), Row(worst, 9, share, 0.2, 9.0, cold_s), Row(other, 99, 0.9)]
    assert [goal.is_reached for goal in evaluate(rows, Full(1200.0, 20.0))] == reached


def test_time_that_was_not_measured_has_no_goal() -> None:
    (share,) = evaluate([Row(PROJECT_EDITS[0], 1, 0.5)], Full())
    assert not share.is_reached
