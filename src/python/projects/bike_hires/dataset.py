"""Hires by hour, with the weather, in `hours_of_2011.csv.bz2`; LICENSE says where the table comes from."""

from typing import Final

import numpy as np
import pandas as pd

from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.files import in_package
from projects.bike_hires.model import TIME_ZONE

_NEW_YEAR: Final = pd.Timestamp(2011, 1, 1)
_WEATHER: Final = {
    "clear": "clear",
    "cloudy/misty": "misty",
    "light rain/snow": "light rain or snow",
    "heavy rain/snow": "heavy rain or snow",
}


def transform(tables: Tables) -> Transformed:
    """Hours in the contract's units. The table has the weather as shares of its range, and the clock of Washington.

    Hours without a hire are not in the table. The one that the clocks repeat in November is there once: taken as the
    first.
    """
    hours = tables["hours"]
    clock = _NEW_YEAR + pd.to_timedelta((hours["day"] - 1) * 24 + hours["hr"], unit="h")
    frame = pd.DataFrame(
        {
            "began_at": clock.dt.tz_localize(TIME_ZONE, ambiguous=np.full(len(clock), True)).dt.tz_convert("UTC"),
            "holiday": hours["holiday"],
            "weather": hours["weathersit"].replace(_WEATHER),
            "temperature": hours["temp"] * 47 - 8,
            "humidity": hours["hum"] * 100,
            "wind_speed": hours["windspeed"] * 67,
            "bikes_hired": hours["bikers"],
        }
    )
    return Transformed(frame)


DATASET: Final = Dataset(
    sources={"hours": DelimitedFiles(in_package(__package__, "hours_of_2011.csv.bz2"))},
    main="hours",
    transform=transform,
)
