"""What must be true of the real snapshot. The oracle is the raw csv, read by nothing but the standard library."""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from support.demos import Demo

from athanor.contract.columns import Columns
from athanor.contract.validation import validate
from athanor.data.snapshots.snapshot import Snapshot
from projects.flight_delay.model import MODEL

Row: TypeAlias = dict[str, str]

_NEW_YORK = ZoneInfo("America/New_York")
_WEATHER = {
    "temperature": "temp",
    "dew_point": "dewp",
    "relative_humidity": "humid",
    "wind_direction": "wind_dir",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precipitation": "precip",
    "pressure": "pressure",
    "visibility": "visib",
}


def _raw(demo: Demo, name: str) -> Path:
    """The raw file as it was kept: exactly one version of it."""
    (path,) = demo.home.raw.glob(f"{MODEL.name}/*/*/{name}")
    return path


def _read(file: IO[str]) -> Iterator[Row]:
    """Rows by column name, "" for missing."""
    for row in csv.DictReader(file):
        yield {name: "" if value == "NA" else value for name, value in row.items()}


def _read_raw(demo: Demo, name: str) -> list[Row]:
    with _raw(demo, name).open(encoding="utf-8") as file:
        return list(_read(file))


@pytest.fixture(scope="module")
def scheduled(demo: Demo) -> list[Row]:
    """Every scheduled flight of the raw table."""
    with zipfile.ZipFile(_raw(demo, "flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        return list(_read(io.TextIOWrapper(file, encoding="utf-8")))


@pytest.fixture(scope="module")
def flown(scheduled: list[Row]) -> list[Row]:
    """Those that arrived where they were to."""
    return [row for row in scheduled if row["arr_delay"]]


@pytest.fixture(scope="module")
def clock(columns: Columns) -> list[datetime]:
    """What the clocks at the origin show at the scheduled departure of each row of the snapshot."""
    seconds = columns["scheduled_departure"].astype("M8[s]").astype(np.int64).tolist()
    return [datetime.fromtimestamp(second, UTC).astimezone(_NEW_YORK) for second in seconds]


def _numbers(values: NDArray[Any]) -> list[float | None]:
    """As the csv has them: None for missing."""
    return [None if np.isnan(value) else value for value in values.tolist()]


def _number(text: str) -> float | None:
    return float(text) if text else None


def test_every_scheduled_flight_is_accounted_for(snapshot: Snapshot, columns: Columns, scheduled: list[Row]) -> None:
    assert snapshot.rows_in == len(scheduled) == 336_776
    assert snapshot.rejected == {
        "cancelled": sum(not row["dep_time"] for row in scheduled),
        "diverted": sum(bool(row["dep_time"]) and not row["arr_delay"] for row in scheduled),
    }
    assert snapshot.rejected == {"cancelled": 8_255, "diverted": 1_175}
    assert snapshot.rows_out == snapshot.rows_in - sum(snapshot.rejected.values())
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(columns, snapshot.rows_out)


def test_the_contract_holds_in_every_row(columns: Columns) -> None:
    assert validate(MODEL.contract.dataset_columns, columns) == ()


@pytest.mark.parametrize(
    ("column", "smallest", "largest"),
    [
        ("flight_number", 1, 8_500),
        ("scheduled_arrival_minute", 1, 1_439),
        ("distance", 80, 4_983),
        ("aircraft_year", 1_956, 2_013),
        ("aircraft_seats", 2, 450),
        ("temperature", 10.94, 100.04),
        ("dew_point", -9.94, 78.08),
        ("relative_humidity", 12.74, 100),
        ("wind_direction", 0, 360),
        ("wind_speed", 0, 42.57886),
        ("wind_gust", 16.11092, 66.74534),
        ("precipitation", 0, 1.21),
        ("pressure", 983.8, 1_042.1),
        ("visibility", 0, 10),
    ],
)
def test_values_stay_in_the_range_that_was_seen(columns: Columns, column: str, smallest: float, largest: float) -> None:
    """Narrower than the contract's: a wrong unit would stay within that."""
    assert np.nanmin(columns[column]) >= smallest
    assert np.nanmax(columns[column]) <= largest


def test_three_origins_sixteen_carriers(columns: Columns, flown: list[Row]) -> None:
    assert set(columns["origin"]) == {"EWR", "JFK", "LGA"}
    assert len(set(columns["carrier"])) == 16
    for column, raw in (("origin", "origin"), ("carrier", "carrier"), ("destination", "dest")):
        assert Counter(columns[column]) == Counter(row[raw] for row in flown)


def test_keys_are_unique(columns: Columns) -> None:
    keys = zip(columns["scheduled_departure"].tolist(), columns["carrier"], columns["flight_number"], strict=True)
    assert len(set(keys)) == len(columns["carrier"])


def test_rows_follow_the_event_time(columns: Columns) -> None:
    assert np.all(np.diff(columns["scheduled_departure"]) >= np.timedelta64(0, "us"))


def test_scheduled_departure_is_the_clock_of_the_raw_table_in_every_row(
    columns: Columns, clock: list[datetime], flown: list[Row]
) -> None:
    found = Counter(
        (carrier, int(number), origin, at.year, at.month, at.day, at.hour, at.minute)
        for carrier, number, origin, at in zip(
            columns["carrier"], columns["flight_number"], columns["origin"], clock, strict=True
        )
    )
    whole = ("flight", "year", "month", "day", "hour", "minute")
    numbers = ({name: int(row[name]) for name in whole} for row in flown)
    expected = Counter(
        (row["carrier"], n["flight"], row["origin"], n["year"], n["month"], n["day"], n["hour"], n["minute"])
        for row, n in zip(flown, numbers, strict=True)
    )
    assert found == expected


def test_rate_of_late_arrivals_by_month(columns: Columns, clock: list[datetime], flown: list[Row]) -> None:
    rows = Counter(at.month for at in clock)
    late = Counter(at.month for at, is_late in zip(clock, columns["arrived_late"], strict=True) if is_late)
    assert rows == Counter(int(row["month"]) for row in flown)
    assert late == Counter(int(row["month"]) for row in flown if float(row["arr_delay"]) >= 15)
    rates = {month: late[month] / rows[month] for month in rows}
    assert min(rates, key=lambda month: rates[month]) == 9
    assert max(rates, key=lambda month: rates[month]) == 12
    assert rates[9] == pytest.approx(0.14, abs=0.005)
    assert rates[12] == pytest.approx(0.34, abs=0.005)


def test_weather_is_that_of_the_scheduled_hour_at_the_origin(
    demo: Demo, columns: Columns, clock: list[datetime]
) -> None:
    """By the clock time of both tables, where the source joins by instant."""
    # No flight departs in the hour that the clocks repeat in November.
    hour = ("origin", "month", "day", "hour")
    weather = {tuple(row[name] for name in hour): row for row in _read_raw(demo, "weather.csv")}
    nothing: Row = dict.fromkeys(_WEATHER.values(), "")
    rows = [
        weather.get((origin, str(at.month), str(at.day), str(at.hour)), nothing)
        for origin, at in zip(columns["origin"], clock, strict=True)
    ]
    for column, raw in _WEATHER.items():
        assert _numbers(columns[column]) == [_number(row[raw]) for row in rows], column


def test_aircraft_is_that_of_the_tail_number(
    demo: Demo, columns: Columns, clock: list[datetime], flown: list[Row]
) -> None:
    aircraft = {row["tailnum"]: row for row in _read_raw(demo, "planes.csv")}
    nothing: Row = {"year": "", "seats": ""}
    expected = {}
    for row in flown:
        found = aircraft.get(row["tailnum"], nothing)
        departure = tuple(int(row[name]) for name in ("month", "day", "hour", "minute"))
        expected[(row["carrier"], float(row["flight"]), *departure)] = (
            _number(found["year"]),
            _number(found["seats"]),
            int(row["sched_arr_time"]) // 100 * 60 + int(row["sched_arr_time"]) % 100,
            float(row["distance"]),
            float(float(row["arr_delay"]) >= 15),
        )
    names = ("aircraft_year", "aircraft_seats", "scheduled_arrival_minute", "distance", "arrived_late")
    found_rows = zip(*(_numbers(columns[name]) for name in names), strict=True)
    keys = (
        (carrier, number, at.month, at.day, at.hour, at.minute)
        for carrier, number, at in zip(columns["carrier"], columns["flight_number"].tolist(), clock, strict=True)
    )
    assert dict(zip(keys, found_rows, strict=True)) == expected


@pytest.mark.parametrize(
    ("column", "share"),
    [
        ("aircraft_year", 0.163),
        ("aircraft_seats", 0.148),
        ("temperature", 0.0047),
        ("wind_direction", 0.0292),
        ("wind_gust", 0.763),
        ("pressure", 0.110),
        ("visibility", 0.0047),
    ],
)
def test_as_much_is_missing_as_ever(columns: Columns, column: str, share: float) -> None:
    """The budgets of the contract leave room; the source of 2013 does not change."""
    assert np.isnan(columns[column]).mean() == pytest.approx(share, rel=0.01)


def test_nothing_is_missing_that_is_required(columns: Columns) -> None:
    required = [column.name for column in MODEL.contract.columns if not column.may_be_missing]
    assert required == [
        "scheduled_departure",
        "carrier",
        "flight_number",
        "origin",
        "destination",
        "scheduled_arrival_minute",
        "distance",
    ]
    assert not np.isnat(columns["scheduled_departure"]).any()
    for name in ("carrier", "origin", "destination"):
        assert all(columns[name])
    for name in ("flight_number", "scheduled_arrival_minute", "distance"):
        assert not np.isnan(columns[name]).any()
