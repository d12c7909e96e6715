"""Each lock of the repository is complete, and the check notices one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from locks.lock import LOCKS, Lock, disagreements, header, problems

REQUIREMENTS = "# Why it is here.\nalpha<3  # because\nbeta[extra] ; python_version >= '3.11'\n"
HASH = "--hash=sha256:" + "0" * 64
PINS = f"alpha==2.1 \\\n    {HASH} \\\n    {HASH}\n    # via -r some.txt\nbeta==1.0 \\\n    {HASH}\n"
SOME = Lock("some.txt", "some.lock")


def findings(pins: str, requirements: str = REQUIREMENTS, made_from: str = REQUIREMENTS) -> list[str]:
    return list(problems(SOME, requirements, header("some.txt", made_from) + pins))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.lock)
def test_lock_matches_its_requirements(lock: Lock) -> None:
    assert list(problems(lock, Path(lock.requirements).read_text(), Path(lock.lock).read_text())) == []


def test_every_lock_is_known() -> None:
    assert {str(path) for path in Path("3rdparty").rglob("*.lock")} == {lock.lock for lock in LOCKS}


def test_a_whole_lock_has_no_problems() -> None:
    assert findings(PINS) == []


@pytest.mark.parametrize(
    ("pins", "problem"),
    [
        pytest.param(PINS.replace("2.1", "3.0"), "some.lock does not satisfy alpha<3", id="another version"),
        pytest.param(PINS.replace("alpha", "gamma"), "some.lock does not satisfy alpha<3", id="missing"),
        pytest.param(PINS.replace("==2.1", ">=2.1"), "some.lock does not pin alpha to one version", id="range"),
        pytest.param(PINS.replace("==2.1", "==2.*"), "some.lock does not pin alpha to one version", id="prefix"),
        pytest.param("alpha==2.1\nbeta==1.0 " + HASH, "some.lock has no hash of alpha", id="no hash"),
        pytest.param(PINS.replace("sha256", "md5"), "some.lock has no hash of alpha", id="weak hash"),
        pytest.param("--find-links wheels\n" + PINS, "some.lock names an address or an option", id="option"),
        pytest.param(PINS + "# https" + "://example.org\n", "some.lock names an address or an option", id="address"),
    ],
)
def test_a_broken_lock_is_noticed(pins: str, problem: str) -> None:
    assert any(finding.startswith(problem) for finding in findings(pins))


def test_edited_requirements_are_noticed() -> None:
    assert findings(PINS, made_from="alpha\n") == ["some.lock was made from another some.txt: run `./pants lock`"]


@pytest.mark.parametrize(
    "name", ["3rdparty/python/default.lock", "3rdparty/tools/binaries.lock", "3rdparty/tools/locks.lock"]
)
def test_pytest_meets_the_versions_it_was_locked_with(name: str) -> None:
    assert disagreements(Path("3rdparty/tools/pytest.lock").read_text(), Path(name).read_text()) == []


def test_disagreeing_locks_are_noticed() -> None:
    old = "alpha==1.0 ; python_full_version < '3.10' --hash=x\nalpha==2.1 ; python_full_version >= '3.10' --hash=x"
    assert disagreements(old, PINS) == []
    assert disagreements(old, PINS.replace("alpha==2.1", "alpha==2.2")) == ["alpha is 2.1 here and 2.2 there"]
