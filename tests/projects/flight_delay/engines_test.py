"""Ray Data makes of the real raw tables what pandas makes of them, to the last bit."""

import json
from pathlib import Path

from support import commands
from support.demos import Demo

from athanor.data.snapshots.snapshot import find_snapshot
from projects.flight_delay.model import MODEL


def test_both_engines_make_the_same_snapshot(demo: Demo, tmp_path: Path) -> None:
    done = commands.run("data", "build", MODEL.name, "--engine", "ray", "--json", "--home", tmp_path / "home")
    assert done.returncode == 0, done.stderr
    by_ray = json.loads(done.stdout)
    by_pandas = find_snapshot(MODEL.name, demo.home.datasets)
    assert (by_ray["digest"], by_ray["raw"]) == (by_pandas.digest, by_pandas.raw)
    assert (by_ray["rejected"], by_ray["rows_in"]) == (by_pandas.rejected, by_pandas.rows_in)
