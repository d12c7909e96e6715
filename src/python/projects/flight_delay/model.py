"""What training and serving share: the contract of a flight, and what the model sees of it."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.contract import read_contract
from athanor.features.features import Features, Model
from athanor.features.transforms import cyclic, to_local_time
from flight_delay.v1 import flight_delay_pb2

_TIME_ZONE: Final = "America/New_York"
_AS_THEY_ARE: Final = (
    "distance",
    "aircraft_seats",
    "temperature",
    "dew_point",
    "relative_humidity",
    "wind_speed",
    "wind_gust",
    "precipitation",
    "pressure",
    "visibility",
)


def compute_features(columns: Columns) -> Mapping[str, NDArray[Any]]:
    """The clock at the origin instead of the instant, the aircraft's age instead of its year, the wind on a circle."""
    departure = to_local_time(columns["scheduled_departure"], _TIME_ZONE)
    day = departure.astype("M8[D]")
    minute = (departure - day).astype("m8[s]").astype(np.float64) / 60
    minute_sin, minute_cos = cyclic(minute, 1440)
    wind_sin, wind_cos = cyclic(columns["wind_direction"], 360)
    # 1970-01-01 was a Thursday; Monday is 0.
    weekday = (day.astype(np.int64) + 3) % 7
    year = departure.astype("M8[Y]").astype(np.int64) + 1970
    return {
        "departure_hour": minute / 60,
        "departure_sin": minute_sin,
        "departure_cos": minute_cos,
        "arrival_hour": columns["scheduled_arrival_minute"] / 60,
        "weekday": weekday,
        "is_weekend": weekday >= 5,
        "aircraft_age": year - columns["aircraft_year"],
        "wind_sin": wind_sin,
        "wind_cos": wind_cos,
        **{name: columns[name] for name in _AS_THEY_ARE},
        **{name: columns[name] for name in ("carrier", "origin", "destination")},
    }


MODEL: Final = Model(
    contract=read_contract(
        flight_delay_pb2.DESCRIPTOR.services_by_name["FlightDelayService"],
        outcome=flight_delay_pb2.FlightOutcome.DESCRIPTOR,
    ),
    features=Features(
        numeric=(
            "departure_hour",
            "departure_sin",
            "departure_cos",
            "arrival_hour",
            "weekday",
            "is_weekend",
            "aircraft_age",
            "wind_sin",
            "wind_cos",
            *_AS_THEY_ARE,
        ),
        categorical=("carrier", "origin", "destination"),
        compute=compute_features,
    ),
)
