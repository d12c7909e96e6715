"""Plain pandas: the joins of the example project, from raw tables to Parquet, without a look at what they made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend

WEATHER = {
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
FLIGHT_COLUMNS = [
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
]


def join_with_pandas(raw: Path, to: Path) -> int:
    """Joins the raw tables in folder `raw` into one Parquet file, and returns its rows."""
    flights = pd.read_csv(raw / "flights.csv.zip", usecols=FLIGHT_COLUMNS)
    flown = flights[flights["dep_time"].notna() & flights["arr_delay"].notna()]
    weather = pd.read_csv(raw / "weather.csv", usecols=["origin", "time_hour", *WEATHER]).rename(columns=WEATHER)
    aircraft = pd.read_csv(raw / "planes.csv", usecols=["tailnum", "year", "seats"])
    joined = flown.merge(
        weather.drop_duplicates(["origin", "time_hour"]), on=["origin", "time_hour"], how="left"
    ).merge(aircraft.rename(columns={"year": "aircraft_year", "seats": "aircraft_seats"}), on="tailnum", how="left")
    hour = pd.to_datetime(joined["time_hour"], utc=True)
    frame = pd.DataFrame(
        {
            "scheduled_departure": hour + pd.to_timedelta(joined["minute"], unit="min"),
            "carrier": joined["carrier"],
            "flight_number": joined["flight"],
            "origin": joined["origin"],
            "destination": joined["dest"],
            "scheduled_arrival_minute": joined["sched_arr_time"] // 100 * 60 + joined["sched_arr_time"] % 100,
            "distance": joined["distance"].astype("float64"),
            "aircraft_year": joined["aircraft_year"],
            "aircraft_seats": joined["aircraft_seats"],
            **{name: joined[name] for name in WEATHER.values()},
            "arrived_late": joined["arr_delay"] >= 15,
        }
    )
    frame.to_parquet(to, index=False)
    return len(frame)


def fingerprint(path: Path) -> Mapping[str, float]:
    """Of a joined table in Parquet: how many values of each column are present, and their sum or distinct count."""
    frame = pd.read_parquet(path)
    found = {f"{name} present": float(frame[name].count()) for name in frame.columns}
    for name in frame.columns:
        values = frame[name]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            found[f"{name} sum"] = float((values - pd.Timestamp(0, tz="UTC")).dt.total_seconds().sum())
        elif pd.api.types.is_numeric_dtype(values.dtype):
            found[f"{name} sum"] = float(values.sum())
        else:
            found[f"{name} distinct"] = float(values.nunique())
    return found


def _join(folder: Path, scratch: Path, clock: Clock) -> Answer:
    joined = scratch / "joined.parquet"
    rows = 0
    for _ in clock.rounds():
        rows = join_with_pandas(folder / inputs.RAW, joined)
    return Answer(rows, fingerprint(joined))


if __name__ == "__main__":
    contend({"join": _join}, "pandas", "pyarrow")
