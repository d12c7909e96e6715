"""From a source to a snapshot: the whole way, with a count and a reason for each row that does not arrive."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from support.datasets import OPTIONS, make_dataset, make_frame

from athanor.contract.columns import Columns
from athanor.data.building.snapshot_build import BuildResult, StagedBuild, build_snapshot, stage_build
from athanor.data.checks.quarantine import list_quarantined
from athanor.data.checks.row_checks import REASONS
from athanor.data.dataset import CommittedColumns, Dataset, Tables, Transformed
from athanor.data.snapshots.snapshot import list_snapshots, read_snapshot
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.raw import read_record
from athanor.errors import ContractError, DataError, NotFoundError, SettingsError
from athanor.home import Home
from athanor.progress import Unwatched
from projects.delays.model import MODEL

_ROWS = 2_000
_CONTRACT = MODEL.contract


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _build(home: Home, dataset: Dataset, **options: Any) -> BuildResult:
    return build_snapshot(_CONTRACT, dataset, home, options=replace(OPTIONS, **options))


def _examine(home: Home, dataset: Dataset) -> StagedBuild:
    with stage_build(_CONTRACT, dataset, home, Unwatched(), OPTIONS) as examined:
        return examined


def _spoil(name: str, value: Any, count: int) -> pd.DataFrame:
    frame = make_frame(_ROWS)
    frame[name] = frame[name].astype(object) if isinstance(value, str) and frame[name].dtype == float else frame[name]
    frame.loc[: count - 1, name] = value
    return frame


def _files(home: Home) -> list[Path]:
    return sorted((home.datasets / _CONTRACT.name).glob("*.parquet"))


def test_every_row_arrives_or_is_counted_under_a_reason(home: Home) -> None:
    built = _build(home, make_dataset(_spoil("distance", -1.0, 8), left_out=7))
    snapshot = built.snapshot
    assert (built.is_new, built.is_raw_new) == (True, True)
    assert snapshot.rejected == {"cancelled": 7, "distance MINIMUM": 1}
    assert (snapshot.rows_in, snapshot.rows_out) == (_ROWS, _ROWS - 8)
    assert snapshot.rows_in == snapshot.rows_out + sum(snapshot.rejected.values())
    assert len(read_snapshot(_CONTRACT, home.datasets, snapshot)["carrier"]) == _ROWS - 8


def test_rows_that_were_set_aside_are_in_quarantine_with_their_reasons(home: Home) -> None:
    built = _build(home, make_dataset(_spoil("distance", -1.0, 2)))
    assert built.quarantine is not None
    table = pq.read_table(built.quarantine)
    assert (table["distance"].to_pylist(), table[REASONS].to_pylist()) == ([-1.0, -1.0], [["distance MINIMUM"]] * 2)
    assert [finding.message for finding in built.findings] == ["distance MINIMUM: 2 rows (0.10%)"]
    (listed,) = list_quarantined(home.quarantine / _CONTRACT.name)
    assert (listed.rows, listed.reasons) == (2, {"distance MINIMUM": 2})


def test_an_ingest_without_rejected_rows_deletes_its_old_quarantine(home: Home) -> None:
    dataset = make_dataset(_spoil("distance", -1.0, 2))
    _build(home, dataset)
    mended = replace(dataset, transform=lambda t: Transformed(t["flights"].assign(distance=1_000.0)))
    assert _build(home, mended).quarantine is None
    assert list(list_quarantined(home.quarantine / _CONTRACT.name)) == []


def test_without_a_rejected_row_there_is_no_quarantine(home: Home) -> None:
    assert _build(home, make_dataset(make_frame(_ROWS))).quarantine is None
    assert not home.quarantine.exists()


def test_unchanged_data_makes_no_second_version(home: Home) -> None:
    first = _build(home, make_dataset(make_frame(_ROWS)))
    again = _build(home, make_dataset(make_frame(_ROWS)))
    assert (again.snapshot, again.is_new, again.is_raw_new) == (first.snapshot, False, False)
    shuffled = _build(home, make_dataset(make_frame(_ROWS).sample(frac=1, random_state=0)))
    assert (shuffled.snapshot, shuffled.is_new, shuffled.is_raw_new) == (first.snapshot, False, True)
    assert len(list_snapshots(_CONTRACT.name, home.datasets)) == 1


def test_raw_input_is_kept_with_the_time_range_of_its_rows(home: Home) -> None:
    built = _build(home, make_dataset(make_frame(_ROWS)))
    record = read_record(home.raw / _CONTRACT.name, built.snapshot.raw)
    times = make_frame(_ROWS)["scheduled_departure"]
    assert (record.first_event, record.last_event) == (times.min(), times.max())
    assert list(record.files) == ["flights/result.parquet"]


@pytest.mark.parametrize(("batch_rows", "memory_bytes"), [(1, 1), (7, 10_000), (500, 1), (10**6, 10**9)])
def test_neither_batches_nor_memory_change_the_snapshot(home: Home, batch_rows: int, memory_bytes: int) -> None:
    frame = _spoil("distance", -1.0, 1).iloc[:1_000].sample(frac=1, random_state=1)
    whole = _build(Home(home.path / "whole"), make_dataset(frame))
    parts = _build(home, make_dataset(frame, batch_rows=batch_rows), memory_bytes=memory_bytes)
    same = replace(whole.snapshot, created_at=parts.snapshot.created_at)
    assert parts.snapshot == same
    assert [finding.message for finding in parts.findings] == [finding.message for finding in whole.findings]


@pytest.mark.parametrize("batch_rows", [1, 7, 500])
def test_a_null_changes_no_other_value_of_its_batch(home: Home, batch_rows: int) -> None:
    """Ids beyond 2**53 become equal in float64, to which numpy turns a batch of whole numbers with a null."""
    frame = make_frame(100).assign(id=pd.array(range(2**53, 2**53 + 100), dtype="Int64"))
    frame.loc[frame.index % 3 == 0, "id"] = pd.NA
    seen: list[str] = []

    def transform(tables: Tables) -> Transformed:
        seen.extend(tables["flights"]["id"].astype("str").fillna("").tolist())
        return Transformed(tables["flights"].drop(columns="id"))

    _build(home, replace(make_dataset(frame, batch_rows=batch_rows), transform=transform))
    assert seen == ["" if row % 3 == 0 else str(2**53 + row) for row in range(100)]


def heavy_wind(columns: Columns) -> NDArray[np.bool_]:
    """Nothing departs in a storm."""
    return np.asarray(columns["wind_speed"] == 200)


def three_origins(committed: CommittedColumns) -> str | None:
    """All airports are there."""
    found = set(committed.column("origin"))
    return None if found == {"EWR", "JFK", "LGA"} else f"only {', '.join(sorted(found))}, of {committed.rows} rows"


def _leak(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(visibility=frame["arrived_late"] * 50 + np.random.default_rng(0).uniform(0, 9, len(frame)))


def _half_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(pressure=frame["pressure"].where(frame.index % 2 == 0))


_HALF_MISSING = r"pressure MISSING_BUDGET: missing in \d+ rows \(\d\d\.\d\d%\), allowed: 25\.00%, for example \(2013"
_CONSTANT = "arrived_late CONSTANT_LABEL: the label is false in all 2000 rows"
_POISONS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a value out of range": (lambda f: f.assign(distance=-1.0), r"distance MINIMUM: 2000 rows \(100\.00%\), for exam"),
    "a number as text": (lambda f: f.assign(distance=f["distance"].astype(str)), r"distance TYPE: 2000 rows \(100"),
    "another type": (lambda f: f.assign(carrier=1), r"carrier TYPE: 2000 rows \(100\.00%\), for .*: 1 is int \(TYPE\)"),
    "times without a zone": (
        lambda f: f.assign(scheduled_departure=f["scheduled_departure"].dt.tz_localize(None)),
        r"scheduled_departure TYPE: 2000 rows .* 2013-01-01 05:00:00 has no time zone: .*\.dt\.tz_localize\('UTC'\)",
    ),
    "a renamed category": (
        lambda f: f.assign(origin=f["origin"].replace("EWR", "NWK")),
        r"origin CATEGORY: \d+ rows .*'NWK' is not allowed \(CATEGORY\); give one of EWR, JFK, LGA",
    ),
    "a renamed code": (lambda f: f.assign(carrier=f["carrier"].str.lower()), "carrier PATTERN: 2000 rows"),
    "a required value missing": (lambda f: f.assign(distance=np.nan), "distance REQUIRED: 2000 rows"),
    "an infinite value": (lambda f: f.assign(temperature=np.inf), "temperature FINITE: 2000 rows"),
    "half a seat": (lambda f: f.assign(aircraft_seats=99.5), "aircraft_seats WHOLE: 2000 rows"),
    "a column half missing": (
        _half_missing,
        _HALF_MISSING,
    ),
    "a column just over its budget": (
        lambda f: f.assign(pressure=np.where(f.index % 100 < 26, np.nan, 1_000.0)),
        r"pressure MISSING_BUDGET: missing in 520 rows \(26\.00%\), allowed: 25\.00%",
    ),
    "rows from the future": (
        lambda f: f.assign(scheduled_departure=f["scheduled_departure"] + pd.Timedelta(days=365)),
        r"scheduled_departure FUTURE: 2000 rows .*is after 2014-01-01T00:00:00.000000 \(FUTURE\)",
    ),
    "duplicated keys": (
        lambda f: pd.concat([f, f.iloc[:50]]),
        r"UNIQUE: 100 rows \(4\.88%\), for example \(2013-01-01T05:00:00.000000, .*1\) is also the key of another row",
    ),
    "a label that leaks": (
        _leak,
        "visibility LEAKAGE: it alone predicts the label arrived_late with a ROC AUC of 1.000, allowed: 0.9",
    ),
    "a day that was lost": (
        lambda f: f[(f["scheduled_departure"].dt.day_of_year < 9) | (f["scheduled_departure"].dt.day_of_year > 10)],
        r"scheduled_departure GAP: no row for 1\d{5} s from 2013-01-08T\S+, allowed: 86400 s",
    ),
    "a label that never varies": (
        lambda f: f.assign(arrived_late=0.0),
        _CONSTANT,
    ),
    "one airport alone": (
        lambda f: f.assign(origin="JFK"),
        "three_origins: only JFK, of 2000 rows",
    ),
    "a storm": (lambda f: f.assign(wind_speed=200.0), "heavy_wind: 2000 rows .*: Nothing departs in a storm"),
    "no rows": (lambda f: f.iloc[:0], "no row is left"),
}


@pytest.mark.parametrize("poison", _POISONS)
def test_poisoned_data_is_reported_and_not_committed(home: Home, poison: str) -> None:
    spoil, message = _POISONS[poison]
    dataset = make_dataset(spoil(make_frame(_ROWS)), row_checks=(heavy_wind,), checks=(three_origins,))
    with pytest.raises(DataError, match=f"^delays: nothing was committed\n(.*\n)*.*{message}"):
        _build(home, dataset)
    assert list_snapshots(_CONTRACT.name, home.datasets) == []
    assert _files(home) == []


def test_clean_data_is_committed(home: Home) -> None:
    dataset = make_dataset(make_frame(_ROWS), row_checks=(heavy_wind,), checks=(three_origins,))
    assert _build(home, dataset).findings == ()


def test_all_findings_are_reported_at_once(home: Home) -> None:
    frame = _half_missing(_leak(make_frame(_ROWS)))
    frame.loc[:99, "carrier"] = "?"
    findings = _examine(home, make_dataset(frame, checks=(three_origins,))).findings
    assert [finding.rule for finding in findings] == ["REJECTED_BUDGET", "PATTERN", "MISSING_BUDGET", "LEAKAGE"]


def test_a_refused_dataset_keeps_its_rejected_rows_in_quarantine(home: Home) -> None:
    with pytest.raises(DataError, match=r"the rejected rows are in .*\.parquet"):
        _build(home, make_dataset(_spoil("distance", -1.0, 30)))
    (listed,) = list_quarantined(home.quarantine / _CONTRACT.name)
    assert listed.rows == 30


def test_a_refused_build_leaves_the_snapshot_before_it(home: Home) -> None:
    first = _build(home, make_dataset(make_frame(_ROWS))).snapshot
    before = _files(home)
    with pytest.raises(DataError):
        _build(home, make_dataset(make_frame(_ROWS).iloc[:0]))
    assert (list_snapshots(_CONTRACT.name, home.datasets), _files(home)) == ([first], before)


def test_columns_that_are_not_the_contracts_are_named(home: Home) -> None:
    with pytest.raises(DataError, match=r"missing: \['distance'\], unknown: \['dep_delay'\]"):
        _build(home, make_dataset(make_frame(_ROWS).rename(columns={"distance": "dep_delay"})))


def test_a_transform_that_loses_rows_is_refused(home: Home) -> None:
    dataset = replace(make_dataset(make_frame(_ROWS)), transform=lambda t: Transformed(t["flights"].iloc[3:]))
    with pytest.raises(DataError, match="was given 2000 rows and accounts for 1997; count every row"):
        _build(home, dataset)


def test_a_build_without_raw_files_raises(home: Home) -> None:
    dataset = replace(make_dataset(make_frame(_ROWS)), sources={"flights": DelimitedFiles("nowhere/flights.csv")})
    with pytest.raises(NotFoundError, match=r"flights\.csv"):
        _build(home, dataset)
    assert not home.datasets.exists()


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"main": "rains"}, "main is 'rains'; it must be one of the sources flights"),
        ({"batch_rows": 0}, "batch_rows is 0"),
    ],
)
def test_a_dataset_that_cannot_be_is_refused_when_it_is_declared(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        replace(make_dataset(make_frame(1)), **declared)


def test_an_error_in_a_check_leaves_no_files(home: Home) -> None:
    def fail(committed: CommittedColumns) -> str | None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        _build(home, make_dataset(make_frame(_ROWS), checks=(fail,)))
    assert _files(home) == []


def test_an_error_during_a_build_leaves_no_files(home: Home) -> None:
    def fail(tables: Any) -> Transformed:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        _build(home, replace(make_dataset(make_frame(_ROWS)), transform=fail))
    assert _files(home) == []
    assert not home.quarantine.exists()


def test_a_reason_of_the_transform_that_is_called_like_a_rule_is_counted_with_it(home: Home) -> None:
    contract = replace(_CONTRACT, rules=replace(_CONTRACT.rules, rejected_budget=0.1))
    frame = pd.concat([make_frame(_ROWS), make_frame(_ROWS).iloc[[9]]])
    dataset = replace(make_dataset(frame), transform=lambda t: Transformed(t["flights"].iloc[3:], {"UNIQUE": 3}))
    snapshot = build_snapshot(contract, dataset, home, options=OPTIONS).snapshot
    assert snapshot.rejected == {"UNIQUE": 3 + 2}
    assert snapshot.rows_in == snapshot.rows_out + 5


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_snapshot_of_which_a_file_is_damaged_is_built_again(home: Home, is_gone: bool) -> None:
    first = _build(home, make_dataset(make_frame(_ROWS)))
    (path,) = _files(home)
    path.unlink()
    if not is_gone:
        path.write_bytes(b"PAR1")
    again = _build(home, make_dataset(make_frame(_ROWS)))
    assert (again.is_new, again.snapshot.digest) == (True, first.snapshot.digest)
    assert len(read_snapshot(_CONTRACT, home.datasets, again.snapshot)["carrier"]) == _ROWS


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(SettingsError, match="as_of 2013-01-01 00:00:00 has no time zone"):
        replace(OPTIONS, as_of=datetime(2013, 1, 1))  # noqa: DTZ001 - that is the point


def test_rejected_rows_can_go_elsewhere(home: Home, tmp_path: Path) -> None:
    built = _build(home, make_dataset(_spoil("distance", -1.0, 2)), quarantine=tmp_path / "elsewhere")
    assert built.quarantine is not None
    assert built.quarantine.parent == tmp_path / "elsewhere"
    assert not home.quarantine.exists()
