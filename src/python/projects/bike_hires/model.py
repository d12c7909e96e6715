"""The model of bike hires: the contract of an hour, and the features that training traces into the graph."""

from typing import Final

from athanor.contract.contract import read_contract
from athanor.features.arrays import Arrays
from athanor.features.features import Features, Model
from athanor.features.times import day_of_year, hour_of_day, to_local_time, weekday
from bike_hires.v1 import bike_hires_pb2

TIME_ZONE: Final = "America/New_York"
_AS_THEY_ARE: Final = ("holiday", "temperature", "humidity", "wind_speed")


def compute_features(columns: Arrays) -> Arrays:
    """The clock and the calendar in Washington instead of the instant, and the weather as it is."""
    begin = to_local_time(columns["began_at"], TIME_ZONE)
    return {
        "hour": hour_of_day(begin),
        "weekday": weekday(begin),
        "day_of_year": day_of_year(begin),
        **{name: columns[name] for name in _AS_THEY_ARE},
        "weather": columns["weather"],
    }


MODEL: Final = Model(
    contract=read_contract(
        bike_hires_pb2.DESCRIPTOR.services_by_name["BikeHiresService"],
        outcome=bike_hires_pb2.HourOutcome.DESCRIPTOR,
    ),
    features=Features(
        numeric=("hour", "weekday", "day_of_year", *_AS_THEY_ARE), categorical=("weather",), compute=compute_features
    ),
)
