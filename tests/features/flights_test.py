"""The features of the example, against the standard library and NumPy."""

from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from support.flights import make_columns
from support.graphs import FeatureGraph

from athanor.contract.columns import Columns
from projects.delays.model import MODEL

_COUNT: Final = 4_000
_ODD: Final = (np.nan, np.inf, -np.inf, -0.0, 1e-300, 4e9)


@pytest.fixture(scope="module")
def graph() -> FeatureGraph:
    return FeatureGraph(MODEL.features, MODEL.contract.columns)


def _make_odd_columns() -> Columns:
    """Rows of all years that the zone's table covers and then some, with missing, infinite and extreme numbers."""
    random = np.random.default_rng(0)
    instants = random.integers(-(7 * 10**9), 4 * 10**9, _COUNT)
    instants[: _COUNT // 4] = _near_changes(random, _COUNT // 4)
    columns = {**make_columns(_COUNT), "scheduled_departure": (instants * 10**6).astype("M8[us]")}
    for name, values in columns.items():
        if values.dtype.kind == "f":
            columns[name] = np.where(random.random(_COUNT) < 0.2, random.choice(_ODD, _COUNT), values)
        elif values.dtype.kind == "O":
            columns[name] = np.where(random.random(_COUNT) < 0.2, "", values)
    return columns


def _near_changes(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Within a second of the hours in which New York's clocks were changed in 2013."""
    changes = [datetime(2013, 3, 10, 7, tzinfo=UTC).timestamp(), datetime(2013, 11, 3, 6, tzinfo=UTC).timestamp()]
    return np.asarray(random.choice(np.array(changes, dtype=np.int64), count) + random.integers(-2, 2, count))


def _on_circle(values: NDArray[Any], period: float) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.errstate(invalid="ignore"):
        angle = np.fmod(values, period) * (2 * np.pi / period)
        return np.sin(angle), np.cos(angle)


def _expect(columns: Columns) -> dict[str, NDArray[Any]]:
    """The features by other means than those of the platform: `datetime`, `zoneinfo` and NumPy."""
    zone = ZoneInfo("America/New_York")
    local = [at.replace(tzinfo=UTC).astimezone(zone) for at in columns["scheduled_departure"].tolist()]
    hour = np.array([at.hour + at.minute / 60 + at.second / 3600 for at in local])
    hour_sin, hour_cos = _on_circle(hour, 24)
    wind_sin, wind_cos = _on_circle(columns["wind_direction"], 360)
    return {
        "departure_hour": hour,
        "departure_sin": hour_sin,
        "departure_cos": hour_cos,
        "arrival_hour": columns["scheduled_arrival_minute"] / 60,
        "weekday": np.array([at.weekday() for at in local]),
        "is_weekend": np.array([at.weekday() in (5, 6) for at in local]),
        "aircraft_age": np.array([at.year for at in local]) - columns["aircraft_year"],
        "wind_sin": wind_sin,
        "wind_cos": wind_cos,
    }


def test_they_are_what_the_clock_the_calendar_and_the_circle_say(graph: FeatureGraph) -> None:
    columns = _make_odd_columns()
    found = graph(columns)
    for name, values in _expect(columns).items():
        np.testing.assert_allclose(found[name], values.astype(np.float32), rtol=1e-6, atol=3e-7, err_msg=name)


def test_they_are_the_same_traced_and_eager(graph: FeatureGraph) -> None:
    columns = _make_odd_columns()
    traced = graph(columns)
    for name, values in MODEL.features.eager(columns).items():
        np.testing.assert_array_equal(traced[name], values, err_msg=name)


def test_columns_that_are_features_keep_every_value(graph: FeatureGraph) -> None:
    columns = _make_odd_columns()
    found = graph(columns)
    kept = found.keys() - _expect(columns).keys()
    assert {"distance", "pressure", "carrier"} <= kept
    for name in kept:
        expected = columns[name] if columns[name].dtype == object else columns[name].astype(np.float32)
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


def test_each_row_is_computed_by_itself(graph: FeatureGraph) -> None:
    columns = _make_odd_columns()
    whole = graph(columns)
    for row in (0, 17, _COUNT - 1):
        alone = graph({name: values[row : row + 1] for name, values in columns.items()})
        for name, values in alone.items():
            assert values.tobytes() == whole[name][row : row + 1].tobytes() or values[0] == whole[name][row], name


def test_missing_values_stay_missing(graph: FeatureGraph) -> None:
    columns = make_columns(3)
    gone = {c.name: np.full(3, np.nan) for c in MODEL.contract.columns if c.may_be_missing}
    computed = graph({**columns, **gone})
    missing = {name for name, values in computed.items() if values.dtype != object and np.isnan(values).all()}
    assert missing == {
        *("aircraft_age", "aircraft_seats", "wind_sin", "wind_cos", "temperature", "dew_point", "relative_humidity"),
        *("wind_speed", "wind_gust", "precipitation", "pressure", "visibility"),
    }


def test_valid_rows_are_never_infinite(graph: FeatureGraph) -> None:
    computed = graph(make_columns(500))
    assert not any(np.isinf(values).any() for values in computed.values() if values.dtype != object)


def test_there_may_be_no_rows(graph: FeatureGraph) -> None:
    assert {values.shape for values in graph(make_columns(0)).values()} == {(0,)}


def test_they_see_nothing_of_the_outcome(graph: FeatureGraph) -> None:
    columns = make_columns(5)
    seen = graph({name: values for name, values in columns.items() if name != "arrived_late"})
    for name, values in graph(columns).items():
        np.testing.assert_array_equal(seen[name], values)
