"""polars: the joins of the example project, from raw tables to Parquet, on all cores.

Both ways are measured: tables at once, and one lazy query that streams into the file. Polars opens no zip archive, so
the flights are unpacked first, within the clock as for the others.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import polars as pl

from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend
from data.comparison.pandas_join import FLIGHT_COLUMNS, WEATHER, fingerprint

# The first rows of some hold whole numbers only.
_WEATHER_TYPES = dict.fromkeys(WEATHER, pl.Float64)
_NO_VALUE = ["", "NA"]


def _unzip(raw: Path) -> bytes:
    with zipfile.ZipFile(raw / "flights.csv.zip") as archive:
        return archive.read(archive.namelist()[0])


def _combine(flights: pl.LazyFrame, weather: pl.LazyFrame, aircraft: pl.LazyFrame) -> pl.LazyFrame:
    flown = flights.filter(pl.col("dep_time").is_not_null() & pl.col("arr_delay").is_not_null())
    hourly = weather.rename(WEATHER).unique(["origin", "time_hour"], keep="first", maintain_order=True)
    named = aircraft.rename({"year": "aircraft_year", "seats": "aircraft_seats"})
    joined = flown.join(hourly, on=["origin", "time_hour"], how="left").join(named, on="tailnum", how="left")
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return joined.select(
        (hour + pl.duration(minutes="minute")).alias("scheduled_departure"),
        "carrier",
        pl.col("flight").alias("flight_number"),
        "origin",
        pl.col("dest").alias("destination"),
        (pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100).alias("scheduled_arrival_minute"),
        pl.col("distance").cast(pl.Float64),
        "aircraft_year",
        "aircraft_seats",
        *WEATHER.values(),
        (pl.col("arr_delay") >= 15).alias("arrived_late"),
    )


def _join_at_once(raw: Path, to: Path) -> None:
    flights = pl.read_csv(_unzip(raw), columns=FLIGHT_COLUMNS, null_values=_NO_VALUE)
    weather = pl.read_csv(
        raw / "weather.csv",
        columns=["origin", "time_hour", *WEATHER],
        schema_overrides=_WEATHER_TYPES,
        null_values=_NO_VALUE,
    )
    aircraft = pl.read_csv(raw / "planes.csv", columns=["tailnum", "year", "seats"], null_values=_NO_VALUE)
    _combine(flights.lazy(), weather.lazy(), aircraft.lazy()).collect().write_parquet(to)


def _join_lazily(raw: Path, to: Path) -> None:
    flights = pl.scan_csv(io.BytesIO(_unzip(raw)), null_values=_NO_VALUE).select(FLIGHT_COLUMNS)
    weather = pl.scan_csv(raw / "weather.csv", schema_overrides=_WEATHER_TYPES, null_values=_NO_VALUE).select(
        "origin", "time_hour", *WEATHER
    )
    aircraft = pl.scan_csv(raw / "planes.csv", null_values=_NO_VALUE).select("tailnum", "year", "seats")
    _combine(flights, weather, aircraft).sink_parquet(to)


def _eager(folder: Path, scratch: Path, clock: Clock) -> Answer:
    joined = scratch / "joined.parquet"
    for _round in clock.rounds():
        _join_at_once(folder / inputs.RAW, joined)
    return _answer(joined)


def _lazy(folder: Path, scratch: Path, clock: Clock) -> Answer:
    joined = scratch / "joined.parquet"
    for _round in clock.rounds():
        _join_lazily(folder / inputs.RAW, joined)
    return _answer(joined)


def _answer(joined: Path) -> Answer:
    found = fingerprint(joined)
    return Answer(int(found["scheduled_departure present"]), found)


if __name__ == "__main__":
    contend({"eager": _eager, "lazy": _lazy}, "polars")
