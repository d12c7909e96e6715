"""Rows that break the contract, and all that is wrong with them."""

from math import inf, nan
from typing import Final

from delays.v1 import delays_pb2

BAD_FIELDS: Final = [
    ("flights[1].scheduled_departure", "REQUIRED"),
    ("flights[1].carrier", "PATTERN"),
    ("flights[1].flight_number", "MINIMUM"),
    ("flights[1].origin", "CATEGORY"),
    ("flights[1].destination", "REQUIRED"),
    ("flights[1].distance", "REQUIRED"),
    ("flights[1].visibility", "FINITE"),
    ("flights[2].scheduled_departure", "TIMESTAMP"),
    ("flights[2].carrier", "PATTERN"),
    ("flights[2].scheduled_arrival_minute", "MAXIMUM"),
    ("flights[2].distance", "MAXIMUM"),
    ("flights[2].temperature", "MINIMUM"),
]
"""Field and rule of every violation in `make_bad_rows`, in the order in which they are told."""


def make_bad_rows() -> list[delays_pb2.Flight]:
    """One row that is right, and two that break every kind of rule a request can break."""
    good = delays_pb2.Flight(
        carrier="UA",
        flight_number=1545,
        origin="EWR",
        destination="IAH",
        scheduled_arrival_minute=499,
        distance=1400,
    )
    good.scheduled_departure.FromJsonString("2013-01-01T10:15:00Z")
    unlike_any = delays_pb2.Flight(
        carrier="✈✈",
        flight_number=0,
        origin="BOS",
        destination="",
        scheduled_arrival_minute=499,
        distance=nan,
        visibility=inf,
    )
    beyond = delays_pb2.Flight(
        carrier="UA\n",
        flight_number=1545,
        origin="EWR",
        destination="IAH",
        scheduled_arrival_minute=1440,
        distance=6000.5,
        temperature=-61,
    )
    beyond.scheduled_departure.seconds = 10**15
    return [good, unlike_any, beyond]
