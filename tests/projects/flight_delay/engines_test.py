"""Ray Data makes of the same raw tables what pandas makes of them, to the last bit."""

import json
from pathlib import Path

from prepared.place import PREPARED
from support import commands
from support.processes import nothing_survives

from athanor.data.snapshot import find_snapshot
from projects.flight_delay.model import MODEL


def test_both_engines_make_the_same_snapshot(tmp_path: Path) -> None:
    with nothing_survives():
        done = commands.run("data", "build", MODEL.name, "--engine", "ray", "--home", tmp_path / "home", "--json")
    assert done.returncode == 0, done.stderr
    by_ray = json.loads(done.stdout)
    by_pandas = find_snapshot(MODEL.name, PREPARED.datasets)
    assert (by_ray["digest"], by_ray["raw"]) == (by_pandas.digest, by_pandas.raw)
    assert (by_ray["rejected"], by_ray["rows_in"]) == (by_pandas.rejected, by_pandas.rows_in)
    # Nothing but progress: no log of Ray's.
    assert "ray" not in done.stderr.lower().replace("raw", "")
