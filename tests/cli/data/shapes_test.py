"""Commands on a table without time or key."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.protos import Toy
from support.toys import make_columns, take, with_categories, without_key, without_time
from typer.testing import CliRunner

from athanor.cli.data import app as data_app
from athanor.cli.data import jobs
from athanor.data.dataset import Dataset, Transformed
from athanor.data.sources.function import FunctionSource
from athanor.errors import DataError

_CONTRACT = with_categories(without_key(without_time(Toy()))).read()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs a command on a table that grows by ten rows with each build, of which one repeats another."""
    columns = make_columns(_CONTRACT, 400)
    builds: list[int] = []

    def read() -> list[pd.DataFrame]:
        builds.append(len(builds))
        rows = np.append(np.arange(300 + 10 * len(builds)), 7)
        return [pd.DataFrame(take(columns, rows))]

    dataset = Dataset({"rows": FunctionSource(read)}, "rows", lambda tables: Transformed(tables["rows"]))
    declared = {"model": SimpleNamespace(contract=_CONTRACT, name="toy"), "dataset": dataset}
    monkeypatch.setattr(jobs, "load", lambda project, name, kind: declared[name])

    def invoke(command: str, *arguments: str) -> Any:
        given = [command, "toy", *arguments, "--home", str(tmp_path), "--json"]
        done = CliRunner().invoke(data_app.app, given, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return invoke


def test_a_build_tells_what_it_left_out(run: Callable[..., Any]) -> None:
    built = run("build")
    assert (built["rows_out"], built["equal_rows"], built["first_event"]) == (311, 1, "")
    assert built["NO_EVENT_TIME"].startswith("the contract has no column with ROLE_EVENT_TIME: FUTURE, GAP and DIS")
    assert built["NO_KEY"].endswith("Rows that repeat another in all columns are kept: 1 of 311 (0.32%)")
    assert run("show")["equal_rows"] == 1


def test_versions_are_compared_by_whole_rows(run: Callable[..., Any]) -> None:
    run("build")
    run("build")
    found = run("diff", "0", "1")
    assert found["rows"] == {"added": 10, "removed": 0, "unchanged": 311}
    assert {column["changed"] for column in found["columns"].values()} == {None}


def test_a_validation_writes_its_notes(run: Callable[..., Any], tmp_path: Path) -> None:
    run("build")
    validated = run("validate", "--output", str(tmp_path / "page"))
    assert [note["rule"] for note in validated["notes"]] == ["NO_EVENT_TIME", "NO_KEY"]
    assert "NO_EVENT_TIME" in (tmp_path / "page" / "validate.html").read_text()
    assert validated["drift"] == {"rows": 321, "reference_rows": 311, "significance": 0.05, **_drift(validated)}


def _drift(validated: Any) -> dict[str, Any]:
    """The statistics, of which none has drifted."""
    columns = validated["drift"]["columns"]
    assert [(column["column"], column["has_drifted"]) for column in columns] == [("color", False)]
    return {"columns": columns}


def test_profiles_are_of_whole_versions(run: Callable[..., Any]) -> None:
    run("build")
    assert run("profile")["profile"]["rows"] == 311
    with pytest.raises(DataError, match="rows cannot be chosen by time"):
        run("profile", "--since", "2013-01-01")
