"""The commands about data, on the real flights, as people and machines use them."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from support.demos import Demo
from support.snapshots import commit_columns

from athanor.cli.data.app import app
from athanor.cli.data.app import log as app_log
from athanor.cli.monitoring.app import app as monitor
from athanor.cli.shared.terminal import run_app
from athanor.data.snapshots.snapshot import Snapshot, find_snapshot, read_snapshot
from athanor.errors import NotFoundError
from athanor.home import Home
from projects.flight_delay.model import MODEL

_PROJECT = "flight_delay"
_IN_SEPTEMBER = ("--since", "2013-09-01", "--until", "2013-10-01")
_SEPTEMBER, _DECEMBER = "2013-09-01..2013-10-01", ("--since", "2013-12-01", "--until", "2014-01-01")


class Answer(NamedTuple):
    """Of a command: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Call: TypeAlias = Callable[..., Answer]


@pytest.fixture
def home(demo: Demo, tmp_path: Path) -> Home:
    return demo.copy_home(tmp_path / "home")


@pytest.fixture
def call(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls `data <command> flight_delay …` with the test's home."""

    def call(command: str, *arguments: object, of: Any = app) -> Answer:
        words = ["data", command, _PROJECT, *map(str, arguments), "--home", str(home.path)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            run_app(of)
        out, err = capsys.readouterr()
        return Answer(int(ended.value.code or 0), out, err)

    return call


def test_building_again_says_that_nothing_is_new(call: Call) -> None:
    answer = call("build", "--json")
    assert answer.status == 0
    assert (answer.json["new"], answer.json["raw is new"], answer.json["version"]) == (False, False, 0)
    assert "unchanged, digest" in answer.err


def test_the_log_and_one_version_of_it(call: Call) -> None:
    (entry,) = call("log", "--json").json
    assert (entry["version"], entry["parent"], entry["rows_out"], entry["is_whole"]) == (0, None, 327_346, True)
    shown = call("show", 0, "--json").json
    assert shown == {name: value for name, value in entry.items() if name != "is_whole"}
    assert "327,346" in call("log").out
    assert entry["digest"] in re.sub(r"[\s│]", "", call("show").out)


@pytest.fixture
def smaller(home: Home) -> Snapshot:
    """A version on top of the real one: its first thousand rows, one of them changed."""
    real = find_snapshot(_PROJECT, home.datasets)
    columns = {name: values[:1_000] for name, values in read_snapshot(MODEL.contract, home.datasets, real).items()}
    columns["distance"][7] += 1
    return commit_columns(MODEL.contract, columns, home.datasets)[0]


def test_two_versions_are_compared_by_key(call: Call, smaller: Snapshot) -> None:
    found = call("diff", smaller.parent, smaller.version, "--json").json
    assert found["rows"] == {"added": 0, "removed": 326_346, "changed": 1, "unchanged": 999}
    assert (found["columns"]["distance"]["changed"], found["columns"]["carrier"]["changed"]) == (1, 0)
    assert found["columns"]["carrier"]["mean"] == [None, None]
    assert "326,346" in call("diff", smaller.parent, smaller.version).out


def test_a_version_is_restored_as_a_new_one(call: Call, smaller: Snapshot) -> None:
    restored = call("restore", 0, "--why", "a thousand were too few", "--json").json
    assert (restored["version"], restored["parent"]) == (smaller.version + 1, smaller.version)
    assert (restored["rows_out"], restored["why"]) == (327_346, "a thousand were too few")
    assert [entry["version"] for entry in call("log", "--json").json] == [2, 1, 0]


def test_a_version_that_a_release_names_survives_every_vacuum(call: Call, smaller: Snapshot) -> None:
    answer = call("vacuum", "--keep", "0h", "--json")
    assert (answer.status, answer.json["versions"], answer.json["kept"]) == (0, [], [0])
    assert all(entry["is_whole"] for entry in call("log", "--json").json)


def test_a_version_that_no_release_names_does_not(call: Call, home: Home, smaller: Snapshot) -> None:
    shutil.rmtree(home.store)
    assert call("vacuum", "--keep", "0h", "--dry-run", "--json").json["versions"] == [0]
    assert call("vacuum", "--keep", "0h", "--json").json["versions"] == [0]
    assert [entry["is_whole"] for entry in call("log", "--json").json] == [True, False]
    assert "were vacuumed" in call("drift", "--against", 0).err


@pytest.mark.parametrize("keep", ["30", "d", "-1d", "30w", "", "9999999999d"])
def test_an_age_that_is_none_is_refused(call: Call, keep: str) -> None:
    answer = call("vacuum", f"--keep={keep}")
    assert answer.status == 2
    assert f"INVALID_SETTING --keep is {keep!r}; give days or hours, such as 30d or 12h" in answer.err


def test_december_has_drifted_from_september(call: Call) -> None:
    answer = call("drift", "--against", _SEPTEMBER, *_DECEMBER, "--json")
    assert answer.status == 3
    assert {"temperature", "arrived_late"} <= {c["column"] for c in answer.json["columns"] if c["has_drifted"]}
    assert "GATE_FAILED columns drifted beyond the contract's budgets: temperature" in answer.err
    assert "temperature" in call("drift", "--against", _SEPTEMBER, *_DECEMBER).out


def test_nothing_has_drifted_from_itself(call: Call) -> None:
    assert call("drift", "--against", 0).status == 0
    assert call("drift", "--against", "0:2013-09-01..2013-10-01", *_IN_SEPTEMBER).status == 0


def test_a_project_that_is_none_is_refused(home: Home) -> None:
    with pytest.raises(NotFoundError, match="no project 'nope'"):
        app_log("nope", home.path)


def test_the_champion_sees_that_december_is_another_season(call: Call) -> None:
    answer = call("drift", *_DECEMBER, "--json", of=monitor)
    assert answer.status == 3
    assert "temperature" in {c["column"] for c in answer.json["columns"] if c["has_drifted"]}


def test_a_profile_that_travels_with_a_release_is_a_reference(call: Call, home: Home) -> None:
    (reference,) = home.store.glob("releases/flight_delay/*/reference_profile.json")
    answer = call("drift", "--against", reference, *_DECEMBER, "--json")
    assert answer.status == 3
    assert answer.json["reference_rows"] < 327_346


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("7", "NOT_FOUND no snapshot 7"),
        ("yesterday", "NOT_FOUND 'yesterday' is not a version, a time slice or a file; give a version"),
        ("2013-13-01..", "INVALID_DATA '2013-13-01' is not an instant; write it as 2013-09-01"),
        ("20130901..", "INVALID_DATA '20130901' is not an instant"),
        ("now..", "INVALID_DATA 'now' is not an instant"),
        ("7:2013-09-01..", "NOT_FOUND no snapshot 7"),
    ],
)
def test_a_reference_that_is_none_is_refused(call: Call, against: str, message: str) -> None:
    answer = call("drift", "--against", against)
    assert answer.status == 2
    assert message in answer.err


def test_a_profile_is_a_page_and_json(call: Call, tmp_path: Path) -> None:
    answer = call("profile", *_DECEMBER, "--against", _SEPTEMBER, "--output", tmp_path / "report")
    assert answer.status == 0
    page = (tmp_path / "report" / "profile.html").read_text()
    assert "temperature" in page
    told = json.loads((tmp_path / "report" / "profile.json").read_text())
    assert told["profile"]["rows"] == 27_080
    assert told["drift"]["reference_rows"] > 20_000
    assert str(tmp_path / "report") in answer.out.replace("\n", "")


def test_valid_data_is_validated_and_nothing_is_committed(call: Call, home: Home) -> None:
    before = sorted(path.name for path in (home.datasets / _PROJECT).iterdir())
    answer = call("validate", "--json")
    assert (answer.status, answer.json["refused"], answer.json["findings"]) == (0, False, [])
    assert answer.json["drift"]["reference_rows"] == 327_346
    assert (home.reports / _PROJECT / "validate.html").is_file()
    assert sorted(path.name for path in (home.datasets / _PROJECT).iterdir()) == before


def test_an_address_without_its_engine_is_refused(call: Call) -> None:
    answer = call("build", "--address", "127.0.0.1:6379")
    assert (answer.status, "is for engine ray" in " ".join(answer.err.split())) == (2, True)
