"""Ray Data makes of raw tables what pandas makes of them, to the last bit."""

import json
from pathlib import Path

import pytest
from prepared.place import PREPARED
from support import commands
from support.processes import nothing_survives
from support.traps import find_sprung, set_traps

from athanor.data.checks.quarantine import list_quarantined
from athanor.data.snapshots.snapshot import find_snapshot
from projects.delays.model import MODEL


def test_both_engines_make_the_same_snapshot(tmp_path: Path) -> None:
    traps = set_traps(tmp_path / "traps")
    arguments = ("--engine", "ray", "--json", "--home", tmp_path / "home")
    with nothing_survives():
        done = commands.run("data", "build", MODEL.name, *arguments, cwd=traps)
    assert done.returncode == 0, done.stderr
    by_ray = json.loads(done.stdout)
    by_pandas = find_snapshot(MODEL.name, PREPARED.datasets)
    assert (by_ray["digest"], by_ray["raw"]) == (by_pandas.digest, by_pandas.raw)
    assert (by_ray["rejected"], by_ray["rows_in"]) == (by_pandas.rejected, by_pandas.rows_in)
    # Nothing but progress: no log of Ray's.
    assert "ray" not in done.stderr.lower().replace("raw", "")
    assert find_sprung(traps) == []


def test_both_engines_reject_the_same_rows_with_the_same_words(tmp_path: Path) -> None:
    """As of October a quarter of the flights lies in the future."""
    refused, rejected = [], []
    for engine in ("ray", "pandas"):
        home = tmp_path / engine
        arguments = ("--engine", engine, "--as-of", "2013-10-01T12:00:00", "--home", home)
        done = commands.run("data", "build", MODEL.name, *arguments)
        assert done.returncode == 2, done.stderr
        refused.append(done.stderr.partition("INVALID_DATA")[2].replace(str(home), ""))
        rejected += [(q.rows, q.reasons) for q in list_quarantined(home / "quarantine" / MODEL.name)]
    assert refused[0] == refused[1]
    assert "scheduled_departure FUTURE: 3" in refused[0]
    assert rejected[0] == rejected[1]


@pytest.mark.parametrize("as_of", ["yesterday", "2013-13-01"])
def test_an_invalid_moment_is_refused(tmp_path: Path, as_of: str) -> None:
    done = commands.run("data", "build", MODEL.name, "--as-of", as_of, "--home", tmp_path)
    assert done.returncode == 2
    assert "--as-of" in done.stderr
