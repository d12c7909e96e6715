"""Drift of the latest snapshot from the champion, as a whole or in a slice of time."""

import json
from typing import Any

import numpy as np
from prepared.place import PREPARED
from support import commands

from athanor.data.snapshots.snapshot import find_snapshot, read_snapshot
from projects.delays.model import MODEL


def _measure(*arguments: str) -> Any:
    done = commands.run("app", "monitor", "drift", MODEL.name, *arguments, "--json", "--home", PREPARED.path)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def test_without_bounds_the_whole_snapshot_is_compared() -> None:
    """As a table without event times must be."""
    assert _measure()["rows"] == find_snapshot(MODEL.name, PREPARED.datasets).rows_out


def test_a_slice_of_time_may_be_open_at_either_end() -> None:
    rows = read_snapshot(MODEL.contract, PREPARED.datasets, find_snapshot(MODEL.name, PREPARED.datasets))
    is_late = rows["scheduled_departure"] >= np.datetime64("2013-12-01")
    found = _measure("--since", "2013-12-01")["rows"], _measure("--until", "2013-12-01")["rows"]
    assert found == (is_late.sum(), (~is_late).sum())
