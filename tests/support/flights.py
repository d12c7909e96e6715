"""Synthetic flights that meet the contract."""

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_FIRST: Final = np.datetime64("2013-01-01T05:00:00", "us")
_STEP: Final = np.timedelta64(37, "m")
_FLIGHT: Final = {
    "scheduled_departure": datetime(2013, 1, 1, 10, 15, tzinfo=UTC),
    "carrier": "UA",
    "flight_number": 1545,
    "origin": "EWR",
    "destination": "IAH",
    "scheduled_arrival_minute": 819,
    "distance": 1400.0,
    "temperature": 39.0,
}


def make_columns(count: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """All dataset columns of valid rows, sorted by departure; the label depends on distance and wind."""
    random = np.random.default_rng(seed)
    values: dict[str, NDArray[Any]] = {
        "scheduled_departure": _FIRST + np.arange(count) * _STEP,
        "carrier": _choose(random, count, "AA", "B6", "DL", "UA"),
        "flight_number": 1.0 + np.arange(count) % 9_999,
        "origin": _choose(random, count, "EWR", "JFK", "LGA"),
        "destination": _choose(random, count, "ATL", "BOS", "LAX", "ORD", "SFO"),
    }
    for column in MODEL.contract.columns:
        if column.kind.is_numeric and column.name not in values:
            drawn = random.uniform(column.minimum, column.maximum, count).round(
                0 if column.kind.value != "number" else 2
            )
            values[column.name] = np.where(_is_left_out(random, column.missing_budget, count), np.nan, drawn)
    score = values["distance"] / 3_000 + np.nan_to_num(values["wind_speed"]) / 100
    values["arrived_late"] = (score + random.normal(0, 0.5, count) > 2.3).astype(np.float64)
    return values


def make_unshared_columns(count: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """The same, with a text object of its own for each value, as those read from a request are."""
    columns = make_columns(count, seed)
    texts = {name: array for name, array in columns.items() if array.dtype == object}
    return columns | {
        name: np.array([f"{text}!"[:-1] for text in array.tolist()], dtype=object) for name, array in texts.items()
    }


def _choose(random: np.random.Generator, count: int, *choices: str) -> NDArray[Any]:
    return random.choice(np.array(choices, dtype=object), count)


def _is_left_out(random: np.random.Generator, budget: float, count: int) -> NDArray[np.bool_]:
    """A mask with fewer rows than the budget allows, for any seed."""
    return random.permutation(count) < int(budget * count / 2)


def make_flight(**values: Any) -> delays_pb2.Flight:
    """A valid flight with some values replaced; None leaves a field out."""
    given = {**_FLIGHT, **values}
    return delays_pb2.Flight(**{name: value for name, value in given.items() if value is not None})
