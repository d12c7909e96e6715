"""What must be true of the real release, run as serving runs it, on flights that it was not trained on."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pytest
from google.protobuf import json_format
from numpy.typing import NDArray

from athanor.contract.columns import Columns
from athanor.contract.messages import to_columns
from athanor.release.answers import TOLERANCE
from athanor.release.files import REFERENCE_ROWS
from athanor.release.predictor import Predictor
from flight_delay.v1 import flight_delay_pb2
from projects.flight_delay.model import MODEL

_TEST_FROM: Final = np.datetime64("2013-10-01T00:00:00", "us")
# The clocks of New York are four hours behind UTC in summer, five in winter.
_SUMMER_FROM: Final = np.datetime64("2013-03-10T07:00:00", "us")
_SUMMER_UNTIL: Final = np.datetime64("2013-11-03T06:00:00", "us")
_WINTER_OFFSET: Final = np.timedelta64(5, "h")
_WEATHER: Final = tuple(column.name for column in MODEL.contract.columns if column.number >= 10)
_CLEAR: Final = {"visibility": 10.0, "precipitation": 0.0, "wind_gust": np.nan, "wind_speed": 5.0}
_STORM: Final = {"visibility": 0.5, "precipitation": 0.3, "wind_gust": 40.0, "wind_speed": 30.0}


def _take(columns: Columns, chosen: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: values[chosen] for name, values in columns.items()}


def _with(columns: Columns, **values: object) -> Columns:
    """The same rows with other values, each a scalar or an array."""
    length = len(columns["carrier"])
    changed = {name: np.broadcast_to(np.asarray(value, columns[name].dtype), length) for name, value in values.items()}
    return {**columns, **changed}


def _predict(predictor: Predictor, columns: Columns) -> NDArray[np.float64]:
    return predictor.predict(columns)[MODEL.contract.prediction.name]


@pytest.fixture(scope="module")
def past(columns: Columns) -> Columns:
    """What the release was trained on."""
    return _take(columns, columns["scheduled_departure"] < _TEST_FROM)


@pytest.fixture(scope="module")
def later(columns: Columns) -> Columns:
    """What it was evaluated on."""
    return _take(columns, columns["scheduled_departure"] >= _TEST_FROM)


@pytest.fixture(scope="module")
def winter(columns: Columns) -> Columns:
    """A tenth of the later flights, all under one clock."""
    return _take(columns, np.flatnonzero(columns["scheduled_departure"] >= _SUMMER_UNTIL)[::10])


@pytest.fixture(scope="module")
def probabilities(predictor: Predictor, later: Columns) -> NDArray[np.float64]:
    return _predict(predictor, later)


def _roc_auc(labels: NDArray[Any], scores: NDArray[np.float64]) -> float:
    """The share of pairs of a late flight and one in time whose late one has the higher score; ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    late = labels == 1
    pairs = late.sum() * (~late).sum()
    return float((mean_rank[late].sum() - late.sum() * (late.sum() + 1) / 2) / pairs)


def _average_precision(labels: NDArray[Any], scores: NDArray[np.float64]) -> float:
    """The mean, over late flights, of the precision at their score."""
    values, inverse = np.unique(-scores, return_inverse=True)
    late = np.bincount(inverse, weights=labels, minlength=len(values))
    precision = np.cumsum(late) / np.cumsum(np.bincount(inverse, minlength=len(values)))
    return float((precision * late).sum() / late.sum())


def _rate_by_carrier_and_hour(past: Columns, later: Columns) -> NDArray[np.float64]:
    """How often flights of the same carrier in the same hour were late; those seldom seen lean to the mean."""

    def cells(columns: Columns) -> list[tuple[str, int]]:
        instant = columns["scheduled_departure"]
        offset = np.where((instant >= _SUMMER_FROM) & (instant < _SUMMER_UNTIL), 4, 5).astype("m8[h]")
        hour = (instant - offset).astype("M8[h]").astype(np.int64) % 24
        return list(zip(columns["carrier"], hour.tolist(), strict=True))

    mean, weight = float(past["arrived_late"].mean()), 50.0
    sums: dict[tuple[str, int], list[float]] = {}
    for cell, is_late in zip(cells(past), past["arrived_late"].tolist(), strict=True):
        total = sums.setdefault(cell, [mean * weight, weight])
        total[0] += is_late
        total[1] += 1
    late, count = np.array([sums.get(cell, [mean, 1.0]) for cell in cells(later)]).T
    return np.asarray(late / count)


def test_it_beats_the_floor_and_what_carrier_and_hour_tell(
    past: Columns, later: Columns, probabilities: NDArray[np.float64]
) -> None:
    labels, baseline = later["arrived_late"], _rate_by_carrier_and_hour(past, later)
    auc, precision = _roc_auc(labels, probabilities), _average_precision(labels, probabilities)
    assert auc >= max(0.66, _roc_auc(labels, baseline) + 0.03)
    assert precision >= max(0.36, _average_precision(labels, baseline) + 0.03)


def test_its_manifest_tells_the_metrics_it_has(
    predictor: Predictor, later: Columns, probabilities: NDArray[np.float64]
) -> None:
    labels, metrics = later["arrived_late"], predictor.release.identity.metrics
    clipped = np.where(labels == 1, probabilities, 1 - probabilities)
    assert metrics["roc_auc"] == pytest.approx(_roc_auc(labels, probabilities), abs=1e-5)
    assert metrics["average_precision"] == pytest.approx(_average_precision(labels, probabilities), abs=1e-5)
    assert metrics["brier_score"] == pytest.approx(np.mean((labels - probabilities) ** 2), abs=1e-5)
    assert metrics["log_loss"] == pytest.approx(-np.mean(np.log(clipped)), abs=1e-5)


def test_its_probabilities_are_probabilities(later: Columns, probabilities: NDArray[np.float64]) -> None:
    assert probabilities.shape == later["carrier"].shape
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert probabilities.std() > 0.05


def test_flights_it_calls_likely_to_be_late_are_late_more_often(
    later: Columns, probabilities: NDArray[np.float64]
) -> None:
    fifths = np.array_split(np.argsort(probabilities, kind="stable"), 5)
    rates = [later["arrived_late"][rows].mean() for rows in fifths]
    assert rates == sorted(rates)
    assert rates[-1] > 4 * rates[0]


def test_the_order_of_rows_changes_nothing(
    predictor: Predictor, later: Columns, probabilities: NDArray[np.float64]
) -> None:
    order = np.random.default_rng(0).permutation(len(probabilities))
    np.testing.assert_array_equal(_predict(predictor, _take(later, order)), probabilities[order])


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_the_rows_beside_it_change_nothing(
    predictor: Predictor, later: Columns, probabilities: NDArray[np.float64], size: int
) -> None:
    parts = [np.arange(first, min(first + size, 2_000)) for first in range(0, 2_000, size)]
    found = np.concatenate([_predict(predictor, _take(later, part)) for part in parts])
    np.testing.assert_allclose(found, probabilities[:2_000], rtol=0, atol=TOLERANCE)


def test_no_rows_have_no_probabilities(predictor: Predictor, later: Columns) -> None:
    assert _predict(predictor, _take(later, np.arange(0))).shape == (0,)


def test_the_flight_number_changes_nothing(predictor: Predictor, winter: Columns) -> None:
    found = _predict(predictor, _with(winter, flight_number=1))
    np.testing.assert_array_equal(found, _predict(predictor, winter))


def test_a_storm_makes_every_flight_likelier_to_be_late(predictor: Predictor, winter: Columns) -> None:
    clear, storm = _predict(predictor, _with(winter, **_CLEAR)), _predict(predictor, _with(winter, **_STORM))
    assert storm.mean() > clear.mean() + 0.15
    assert np.mean(storm > clear) > 0.99


@pytest.mark.parametrize("name", ["visibility", "precipitation", "wind_speed"])
def test_each_part_of_a_storm_makes_flights_likelier_to_be_late(
    predictor: Predictor, winter: Columns, name: str
) -> None:
    clear = _with(winter, **_CLEAR)
    assert _predict(predictor, _with(clear, **{name: _STORM[name]})).mean() > _predict(predictor, clear).mean() + 0.01


def test_the_evening_is_later_than_the_early_morning(predictor: Predictor, winter: Columns) -> None:
    day = winter["scheduled_departure"].astype("M8[D]").astype("M8[us]") + _WINTER_OFFSET
    means = [
        _predict(predictor, _with(winter, scheduled_departure=day + np.timedelta64(hour, "h"))).mean()
        for hour in (6, 12, 19)
    ]
    assert means[0] + 0.05 < means[1] < means[2] - 0.05


def test_without_weather_it_answers_from_what_is_left(predictor: Predictor, later: Columns) -> None:
    found = _predict(predictor, _with(later, **dict.fromkeys(_WEATHER, np.nan)))
    assert np.all((found > 0.02) & (found < 0.98))
    assert _roc_auc(later["arrived_late"], found) > 0.58


def test_with_nothing_optional_it_answers(predictor: Predictor, winter: Columns) -> None:
    optional = [column.name for column in MODEL.contract.columns if column.may_be_missing]
    found = _predict(predictor, _with(winter, **dict.fromkeys(optional, np.nan)))
    assert np.all((found > 0.02) & (found < 0.98))


@pytest.mark.parametrize(
    "unknown", [{"carrier": "ZZ"}, {"destination": "QQQ"}, {"carrier": "ZZ", "destination": "QQQ"}]
)
def test_carriers_and_destinations_never_seen_are_answered(
    predictor: Predictor, winter: Columns, unknown: Mapping[str, str]
) -> None:
    """As the average one: neither certain, nor far from what known ones get."""
    found = _predict(predictor, _with(winter, **unknown))
    assert np.all((found > 0.02) & (found < 0.98))
    assert found.mean() == pytest.approx(_predict(predictor, winter).mean(), abs=0.05)


def _flight(**values: Any) -> flight_delay_pb2.Flight:
    flight = flight_delay_pb2.Flight(
        carrier="DL",
        flight_number=100,
        origin="LGA",
        destination="ATL",
        scheduled_arrival_minute=9 * 60,
        distance=762,
        aircraft_year=2000,
        aircraft_seats=180,
        temperature=50,
        dew_point=35,
        relative_humidity=56,
        wind_direction=300,
        wind_speed=5,
        precipitation=0,
        pressure=1_020,
        visibility=10,
    )
    flight.scheduled_departure.FromJsonString(values.pop("scheduled_departure", "2013-10-09T10:15:00Z"))
    for name, value in values.items():
        setattr(flight, name, value)
    return flight


_CALM_MORNING: Final = _flight()
_SNOW_IN_THE_EVENING: Final = _flight(
    scheduled_departure="2013-12-17T23:30:00Z",
    carrier="EV",
    origin="EWR",
    scheduled_arrival_minute=20 * 60 + 45,
    temperature=30,
    dew_point=27,
    relative_humidity=93,
    wind_speed=13,
    precipitation=0.05,
    pressure=1_003,
    visibility=1,
)


@pytest.mark.parametrize(
    ("flight", "smallest", "largest"),
    [
        pytest.param(_CALM_MORNING, 0.0, 0.15, id="calm early morning"),
        pytest.param(_SNOW_IN_THE_EVENING, 0.6, 1.0, id="snow in the evening"),
        pytest.param(_flight(visibility=0.25, relative_humidity=100), 0.05, 0.6, id="fog in the early morning"),
    ],
)
def test_clear_cut_cases(
    predictor: Predictor, flight: flight_delay_pb2.Flight, smallest: float, largest: float
) -> None:
    (found,) = _predict(predictor, to_columns(MODEL.contract.columns, [flight]))
    assert smallest <= found <= largest


def test_the_graph_answers_the_reference_rows_as_training_did(predictor: Predictor) -> None:
    reference = predictor.release.json(REFERENCE_ROWS)
    rows = [json_format.ParseDict(row, flight_delay_pb2.Flight()) for row in reference["rows"]]
    assert len(rows) == 100
    found = _predict(predictor, to_columns(MODEL.contract.columns, rows))
    np.testing.assert_allclose(found, reference["answers"][MODEL.contract.prediction.name], rtol=0, atol=TOLERANCE)
