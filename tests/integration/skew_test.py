"""No skew: of the same rows, a live service sees bit for bit what training saw, and answers the same."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import grpc
import httpx
import numpy as np
import pytest
from integration.skew import (
    ROWS_BY_GRPC,
    TIMEOUT_S,
    Seen,
    find_difference,
    inspect,
    see_by_grpc,
    see_by_rest,
    see_by_training,
    split,
)
from prepared.place import PREPARED

from athanor.contract.messages import to_messages
from athanor.data.snapshots.snapshot import find_snapshot, read_snapshot
from athanor.release.files import Release
from athanor.release.traffic import Traffic
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.evidence import Rows, spread
from delays.v1 import delays_pb2, delays_pb2_grpc
from projects.delays.model import MODEL

Flights: TypeAlias = list[delays_pb2.Flight]

_ROWS: Final = 5_000
_NAMES: Final = (*MODEL.features.numeric, *MODEL.features.categorical)


def _make_request(flights: Sequence[delays_pb2.Flight]) -> delays_pb2.PredictRequest:
    return delays_pb2.PredictRequest(flights=flights)


def _train(rows: Rows, release: Release) -> Seen:
    return see_by_training(MODEL, rows, release)


@pytest.fixture(scope="session")
def rows() -> Rows:
    """Rows, evenly over the snapshot, with the features that training computed for all of it at once."""
    snapshot = find_snapshot(MODEL.name, PREPARED.datasets)
    everything = Rows.make(task_of(MODEL.contract), MODEL, read_snapshot(MODEL.contract, PREPARED.datasets, snapshot))
    return everything.take(spread(len(everything), _ROWS))


@pytest.fixture(scope="session")
def flights(rows: Rows) -> Flights:
    return to_messages(MODEL.contract.columns, rows.columns, delays_pb2.Flight)


@pytest.fixture(scope="session")
def by_grpc(channel: grpc.Channel, flights: Flights) -> Seen:
    return see_by_grpc(MODEL, channel, flights, _make_request)


@pytest.fixture(scope="session")
def by_rest(rest: httpx.Client, flights: Flights) -> Seen:
    return see_by_rest(MODEL, rest, flights, _make_request)


def test_the_rows_are_of_the_whole_year_and_have_what_may_differ(rows: Rows) -> None:
    days = rows.columns["scheduled_departure"].astype("M8[D]")
    assert len(rows) == _ROWS
    assert np.isin(np.arange("2013-01-01", "2014-01-01", dtype="M8[D]"), days).all()
    assert rows.frame.isna().any(axis=None)


def test_grpc_sees_what_training_saw(rows: Rows, release: Release, by_grpc: Seen) -> None:
    assert find_difference(_train(rows, release), by_grpc) == ""


def test_rest_sees_what_training_saw(rows: Rows, release: Release, by_rest: Seen) -> None:
    assert find_difference(_train(rows, release), by_rest) == ""


def test_predict_answers_what_was_inspected(
    stub: delays_pb2_grpc.DelaysServiceStub, flights: Flights, by_grpc: Seen
) -> None:
    found = [
        prediction.late_probability
        for some in split(flights, ROWS_BY_GRPC)
        for prediction in stub.Predict(delays_pb2.PredictRequest(flights=some), timeout=TIMEOUT_S).predictions
    ]
    assert found == by_grpc.probabilities.tolist()


def test_the_answer_names_what_answered(channel: grpc.Channel, flights: Flights, traffic: Traffic) -> None:
    version = traffic.require_champion().semantic_version
    answer = inspect(channel, _make_request(flights[:1]), model_name="delays", semantic_version=version)
    assert (answer.model_name, answer.semantic_version) == ("delays", version)
    assert answer.release_digest == traffic.require_champion().digest
    assert answer.request_id


def test_what_grpc_refuses_has_the_code_that_predict_gives_it(channel: grpc.Channel, flights: Flights) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        inspect(channel, _make_request([*flights[:1], delays_pb2.Flight()]))
    refused: Any = caught.value
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        inspect(channel, _make_request(flights[:1]), semantic_version="9.9.9")
    unknown: Any = caught.value
    assert unknown.code() is grpc.StatusCode.NOT_FOUND


Break: TypeAlias = Callable[[Any], Any]


def _break(trained: Seen, name: str, row: int, change: Break) -> Seen:
    """What training would have seen with another value of one feature of one row."""
    values = trained.features[name].copy()
    values[row] = change(values[row])
    return replace(trained, features={**trained.features, name: values})


def _raise(value: Any) -> Any:
    return value + 1e-6 * max(abs(value), 1)


def _lower(value: Any) -> Any:
    return value - 1e-6 * max(abs(value), 1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("departure_hour", _raise),
        ("departure_sin", _lower),
        ("arrival_hour", _lower),
        ("weekday", _raise),
        ("distance", _raise),
        ("visibility", _lower),
        pytest.param("precipitation", lambda value: -value, id="precipitation-the other sign"),
        pytest.param("temperature", lambda value: np.nan, id="temperature-missing"),
        pytest.param("carrier", str.lower, id="carrier-lower case"),
        pytest.param("origin", lambda value: "", id="origin-missing"),
        pytest.param("destination", lambda value: f"{value} ", id="destination-a space"),
    ],
)
def test_one_feature_of_one_row_that_training_saw_otherwise_is_named(
    rows: Rows, release: Release, by_grpc: Seen, by_rest: Seen, name: str, change: Break
) -> None:
    seen = by_grpc.features[name]
    row = _ROWS // 2 + int(np.flatnonzero(seen[_ROWS // 2 :] == seen[_ROWS // 2 :])[0])
    trained = _break(_train(rows, release), name, row, change)
    told = f"feature {name} of row {row}: training has {trained.features[name][row]!r}, serving {seen[row]!r}"
    assert find_difference(trained, by_grpc) == find_difference(trained, by_rest) == told


def test_a_value_where_serving_has_none_is_named(rows: Rows, release: Release, by_grpc: Seen) -> None:
    row = int(np.flatnonzero(np.isnan(by_grpc.features["wind_gust"]))[0])
    trained = _break(_train(rows, release), "wind_gust", row, lambda value: 0.0)
    told = f"feature wind_gust of row {row}: training has np.float32(0.0), serving np.float32(nan)"
    assert find_difference(trained, by_grpc) == told


@pytest.mark.parametrize("off", [1e-5, -1e-5, np.nan])
def test_one_probability_that_training_had_otherwise_is_named(
    rows: Rows, release: Release, by_grpc: Seen, off: float
) -> None:
    trained = _train(rows, release)
    other = trained.probabilities + np.where(np.arange(_ROWS) == 1_234, off, 0)
    told = find_difference(replace(trained, probabilities=other), by_grpc)
    assert told.startswith(f"the probability of row 1234: training has {other[1_234]!r}, serving ")


@pytest.mark.parametrize("changed", [(), _NAMES[1:], (_NAMES[1], _NAMES[0], *_NAMES[2:])])
def test_other_features_or_another_order_of_them_are_named(by_grpc: Seen, changed: tuple[str, ...]) -> None:
    other = replace(by_grpc, features={name: by_grpc.features[name] for name in changed})
    assert find_difference(other, by_grpc).startswith("training has the features ")


def test_rows_that_are_not_there_are_named(by_grpc: Seen) -> None:
    fewer = Seen({name: values[:-1] for name, values in by_grpc.features.items()}, by_grpc.probabilities[:-1])
    assert find_difference(fewer, by_grpc) == "feature departure_hour: training has 4999 rows, serving 5000"
