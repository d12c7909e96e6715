"""From a source to a snapshot: the whole way, with a count and a reason for each row that does not arrive."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.flights import make_columns

from athanor.data.build import build_snapshot
from athanor.data.snapshot import list_snapshots, read_snapshot
from athanor.data.source import Source, Transformed
from athanor.errors import DataError, NotFoundError
from athanor.home import Home
from projects.flight_delay.model import MODEL

_ROWS = 2_000


def _make_frame() -> pd.DataFrame:
    columns = make_columns(_ROWS)
    return pd.DataFrame({**columns, "scheduled_departure": pd.to_datetime(columns["scheduled_departure"], utc=True)})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "flights.csv").write_text("as they came")
    return Home(tmp_path / "home")


def _source(home: Home, frame: pd.DataFrame, **left_out: int) -> Source:
    def transform(files: Mapping[str, Path]) -> Transformed:
        assert files["flights.csv"].read_text() == "as they came"
        assert files["flights.csv"].is_relative_to(home.raw / MODEL.name)
        return Transformed(frame, len(frame) + sum(left_out.values()), left_out)

    return Source(lambda: {"flights.csv": home.path.parent / "flights.csv"}, transform)


def _spoil(name: str, value: Any, count: int) -> pd.DataFrame:
    frame = _make_frame()
    frame.loc[: count - 1, name] = value
    return frame


def test_every_row_arrives_or_is_counted_under_a_reason(home: Home) -> None:
    source = _source(home, _spoil("distance", -1.0, 2), cancelled=7)
    snapshot, is_new = build_snapshot(MODEL.contract, source, home)
    assert is_new
    assert snapshot.rejected == {"cancelled": 7, "distance MINIMUM": 2}
    assert (snapshot.rows_in, snapshot.rows_out) == (_ROWS + 7, _ROWS - 2)
    assert snapshot.rows_in == snapshot.rows_out + sum(snapshot.rejected.values())
    assert len(read_snapshot(MODEL.contract, home.datasets, snapshot)["carrier"]) == _ROWS - 2


def test_unchanged_data_makes_no_second_version(home: Home) -> None:
    first, _ = build_snapshot(MODEL.contract, _source(home, _make_frame()), home)
    again, is_new = build_snapshot(MODEL.contract, _source(home, _make_frame().sample(frac=1, random_state=0)), home)
    assert (again, is_new) == (first, False)
    assert len(list_snapshots(MODEL.name, home.datasets)) == 1


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (_spoil("distance", -1.0, 3), "distance MINIMUM: 3 rows"),
        (_make_frame().drop(columns="distance"), "absent: \\['distance'\\]"),
        (_make_frame().assign(dep_delay=0.0), "unknown: \\['dep_delay'\\]"),
        (_make_frame().assign(carrier=1), "carrier has type int64"),
        (_make_frame().assign(pressure=float("nan")), "pressure is missing in 100.00% of rows"),
        (_make_frame().assign(arrived_late=False), "label arrived_late is 0 in every row"),
        (pd.concat([_make_frame(), _make_frame().iloc[:1]]), "1 rows repeat the key"),
        (_make_frame().iloc[:0], "no row is left"),
    ],
)
def test_data_that_breaks_the_contract_commits_nothing(home: Home, frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_snapshot(MODEL.contract, _source(home, frame), home)
    assert list_snapshots(MODEL.name, home.datasets) == []


def test_a_refused_build_leaves_the_snapshot_before_it(home: Home) -> None:
    first, _ = build_snapshot(MODEL.contract, _source(home, _make_frame()), home)
    with pytest.raises(DataError):
        build_snapshot(MODEL.contract, _source(home, _make_frame().iloc[:0]), home)
    assert list_snapshots(MODEL.name, home.datasets) == [first]


def test_without_its_raw_files_nothing_is_built(home: Home) -> None:
    (home.path.parent / "flights.csv").unlink()
    with pytest.raises(NotFoundError, match=r"flights\.csv"):
        build_snapshot(MODEL.contract, _source(home, _make_frame()), home)
    assert not home.path.exists()
