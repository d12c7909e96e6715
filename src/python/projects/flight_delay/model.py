"""The model of late flights: the contract of a flight, and the features that training traces into the graph."""

from typing import Final

from athanor.contract.contract import read_contract
from athanor.features.arrays import Arrays
from athanor.features.features import Features, Model
from athanor.features.numbers import cyclic
from athanor.features.times import hour_of_day, to_local_time, weekday, year
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


def compute_features(columns: Arrays) -> Arrays:
    """The clock at the origin instead of the instant, the aircraft's age instead of its year, the wind on a circle."""
    departure = to_local_time(columns["scheduled_departure"], _TIME_ZONE)
    hour, day = hour_of_day(departure), weekday(departure)
    hour_sin, hour_cos = cyclic(hour, 24)
    wind_sin, wind_cos = cyclic(columns["wind_direction"], 360)
    return {
        "departure_hour": hour,
        "departure_sin": hour_sin,
        "departure_cos": hour_cos,
        "arrival_hour": columns["scheduled_arrival_minute"] / 60,
        "weekday": day,
        "is_weekend": day >= 5,
        "aircraft_age": year(departure) - columns["aircraft_year"],
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
