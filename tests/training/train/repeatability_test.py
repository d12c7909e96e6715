"""The same identity in another folder, with another hash seed, one or two threads, here or on Ray."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from support.commands import environment
from support.processes import nothing_survives

_TIMEOUT_S: Final = 240.0


def _train(home: Path, engine: str = "local", jobs: int = 2, variables: Mapping[str, str] | None = None) -> str:
    """Trains in a process of its own, and returns the identity of what it made."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with nothing_survives():
        done = subprocess.run(
            [sys.executable, "-m", "support.repeated_training", str(home), engine, str(jobs)],
            capture_output=True,
            text=True,
            env={**environment(), **(variables or {})},
            cwd=home.parent,
            timeout=_TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _train(tmp_path_factory.mktemp("first") / "home", variables={"PYTHONHASHSEED": "0"})


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"PYTHONHASHSEED": "1"}, id="another folder and hash seed"),
        pytest.param({"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C"}, id="another zone and language"),
        pytest.param({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, id="libraries with one thread"),
        pytest.param({"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}, id="libraries with two threads"),
    ],
)
def test_the_surroundings_change_nothing(tmp_path: Path, expected: str, variables: Mapping[str, str]) -> None:
    assert _train(tmp_path / "elsewhere" / "deeper" / "home", variables=variables) == expected


def test_one_process_gives_the_same_release_as_two(tmp_path: Path, expected: str) -> None:
    assert _train(tmp_path / "home", jobs=1) == expected


def test_ray_makes_what_this_machine_makes(tmp_path: Path, expected: str) -> None:
    assert _train(tmp_path / "home", engine="ray") == expected


def test_another_seed_makes_another(tmp_path: Path, expected: str) -> None:
    """So that equality means something."""
    assert _train(tmp_path / "home", variables={"ATHANOR_TEST_SEED": "1"}) != expected
