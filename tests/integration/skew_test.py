"""No skew: of the same rows, a live service sees bit for bit what training saw, and answers the same."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, TypeAlias

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf import json_format
from numpy.typing import NDArray
from prepared.place import PREPARED

from athanor.contract.columns import Columns
from athanor.contract.messages import to_messages
from athanor.data.snapshots.snapshot import find_snapshot, read_snapshot
from athanor.features.features import Features, Model
from athanor.inspection.v1 import inspection_pb2, inspection_pb2_grpc
from athanor.release.files import GRAPH, Release
from athanor.release.predictor import TOLERANCE, Graph
from athanor.release.traffic import Traffic
from athanor.training.evaluation.evidence import Rows, spread
from flight_delay.v1 import flight_delay_pb2, flight_delay_pb2_grpc
from projects.flight_delay.model import MODEL

Values: TypeAlias = NDArray[Any]
Flights: TypeAlias = list[flight_delay_pb2.Flight]

_ROWS: Final = 5_000
# Unlike each other, so that what depends on how many rows are computed together is seen.
_ROWS_BY_GRPC: Final = 1_000
_ROWS_BY_REST: Final = 703
_TIMEOUT_S: Final = 60.0
_NUMERIC: Final = MODEL.features.numeric
_NAMES: Final = (*MODEL.features.numeric, *MODEL.features.categorical)


@dataclass(frozen=True)
class Seen:
    """What a model was given for `n` rows by one path, and what it answered.

    Attributes:
        features: by name, in the order in which the model sees them: float32 of shape (n,), or text.
        probabilities: float64 of shape (n,).
    """

    features: Mapping[str, Values]
    probabilities: NDArray[np.float64]


def find_difference(trained: Seen, served: Seen) -> str:
    """The first difference in words, feature by feature, then that of the probabilities; empty where there is none."""
    if list(trained.features) != list(served.features):
        return f"training has the features {', '.join(trained.features)}; serving {', '.join(served.features)}"
    for name, values in trained.features.items():
        if difference := _tell_first(f"feature {name}", values, served.features[name], _is_same):
            return difference
    return _tell_first("the probability", trained.probabilities, served.probabilities, _is_near)


def _tell_first(what: str, trained: Values, served: Values, agree: Callable[[Values, Values], Values]) -> str:
    if trained.shape != served.shape:
        return f"{what}: training has {len(trained)} rows, serving {len(served)}"
    (rows,) = np.nonzero(~agree(trained, served))
    if not len(rows):
        return ""
    row = rows[0]
    return f"{what} of row {row}: training has {trained[row]!r}, serving {served[row]!r}"


def _is_same(trained: Values, served: Values) -> Values:
    if trained.dtype != np.float32:
        return np.asarray(trained == served)
    return np.asarray((trained.view(np.uint32) == served.view(np.uint32)) | (np.isnan(trained) & np.isnan(served)))


def _is_near(trained: Values, served: Values) -> Values:
    return np.asarray(np.abs(trained - served) <= TOLERANCE)


def _by_name(numeric: Values, categorical: Values) -> dict[str, Values]:
    columns = (*np.ascontiguousarray(numeric.T), *categorical.T)
    return dict(zip(_NAMES, columns, strict=True))


def _train(rows: Rows, release: Release) -> Seen:
    """By the path of training."""
    features = rows.features
    answers = Graph(release.files[GRAPH]).predict_probability(features)
    return Seen(_by_name(features.numeric, features.categorical), answers)


def _split(flights: Flights, size: int) -> Iterator[Flights]:
    for first, last in pairwise([*range(0, len(flights), size), len(flights)]):
        yield flights[first:last]


def _ask(channel: grpc.Channel, flights: Flights, **asked: str) -> inspection_pb2.ComputeFeaturesResponse:
    request = flight_delay_pb2.PredictRequest(flights=flights).SerializeToString()
    question = inspection_pb2.ComputeFeaturesRequest(request=request, **asked)
    return inspection_pb2_grpc.InspectionServiceStub(channel).ComputeFeatures(question, timeout=_TIMEOUT_S)


def _serve_by_grpc(channel: grpc.Channel, flights: Flights) -> Seen:
    answers = [_ask(channel, some) for some in _split(flights, _ROWS_BY_GRPC)]
    (names,) = {(*answer.numeric_names, *answer.categorical_names) for answer in answers}
    rows = [row for answer in answers for row in answer.rows]
    numeric = np.array([row.numeric for row in rows], dtype=np.float32)
    categorical = np.array([list(row.categorical) for row in rows], dtype=object)
    values = (*np.ascontiguousarray(numeric.T), *categorical.T)
    return Seen(dict(zip(names, values, strict=True)), np.array([row.probability for row in rows]))


def _serve_by_rest(rest: httpx.Client, flights: Flights) -> Seen:
    rows = []
    for some in _split(flights, _ROWS_BY_REST):
        body = json_format.MessageToJson(flight_delay_pb2.PredictRequest(flights=some))
        answer = rest.post("/v1/models/flight_delay:features", content=body)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["rows"]
    columns: dict[str, Values] = {}
    for name in rows[0]["features"]:
        values = [row["features"][name] for row in rows]
        is_number = name in _NUMERIC
        columns[name] = np.array([np.nan if v is None else v for v in values] if is_number else values, dtype=object)
        columns[name] = columns[name].astype(np.float32) if is_number else columns[name]
    return Seen(columns, np.array([row["probability"] for row in rows]))


@pytest.fixture(scope="session")
def rows() -> Rows:
    """Real rows, evenly over the snapshot, with the features that training computed for all of it at once."""
    snapshot = find_snapshot(MODEL.name, PREPARED.datasets)
    everything = Rows.make(MODEL, read_snapshot(MODEL.contract, PREPARED.datasets, snapshot))
    return everything.take(spread(len(everything), _ROWS))


@pytest.fixture(scope="session")
def flights(rows: Rows) -> Flights:
    return to_messages(MODEL.contract.columns, rows.columns, flight_delay_pb2.Flight)


@pytest.fixture(scope="session")
def by_grpc(channel: grpc.Channel, flights: Flights) -> Seen:
    return _serve_by_grpc(channel, flights)


@pytest.fixture(scope="session")
def by_rest(rest: httpx.Client, flights: Flights) -> Seen:
    return _serve_by_rest(rest, flights)


def test_the_rows_are_of_the_whole_year_and_have_what_may_differ(rows: Rows) -> None:
    days = rows.columns["scheduled_departure"].astype("M8[D]")
    assert len(rows) == _ROWS
    assert np.isin(np.arange("2013-01-01", "2014-01-01", dtype="M8[D]"), days).all()
    assert np.isnan(rows.features.numeric).any()


def test_grpc_sees_what_training_saw(rows: Rows, release: Release, by_grpc: Seen) -> None:
    assert find_difference(_train(rows, release), by_grpc) == ""


def test_rest_sees_what_training_saw(rows: Rows, release: Release, by_rest: Seen) -> None:
    assert find_difference(_train(rows, release), by_rest) == ""


def test_predict_answers_what_was_inspected(
    stub: flight_delay_pb2_grpc.FlightDelayServiceStub, flights: Flights, by_grpc: Seen
) -> None:
    found = [
        prediction.late_probability
        for some in _split(flights, _ROWS_BY_GRPC)
        for prediction in stub.Predict(flight_delay_pb2.PredictRequest(flights=some), timeout=_TIMEOUT_S).predictions
    ]
    assert found == by_grpc.probabilities.tolist()


def test_the_answer_names_what_answered(channel: grpc.Channel, flights: Flights, traffic: Traffic) -> None:
    version = traffic.champion.semantic_version
    answer = _ask(channel, flights[:1], model_name="flight_delay", semantic_version=version)
    assert (answer.model_name, answer.semantic_version) == ("flight_delay", version)
    assert answer.release_digest == traffic.champion.digest
    assert answer.request_id


def test_what_grpc_refuses_has_the_code_that_predict_gives_it(channel: grpc.Channel, flights: Flights) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _ask(channel, [*flights[:1], flight_delay_pb2.Flight()])
    refused: Any = caught.value
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as caught:
        _ask(channel, flights[:1], semantic_version="9.9.9")
    unknown: Any = caught.value
    assert unknown.code() is grpc.StatusCode.NOT_FOUND


Break: TypeAlias = Callable[[Any], Any]


def _break(name: str, row: int, change: Break) -> Model:
    """The project's model, but for one feature of one row."""

    def compute(columns: Columns) -> Mapping[str, Values]:
        computed = {key: np.array(values) for key, values in MODEL.features.compute(columns).items()}
        # As the model sees it, so that a change is one of float32.
        values = computed[name].astype(np.float32) if name in _NUMERIC else computed[name]
        values[row] = change(values[row])
        return {**computed, name: values}

    return replace(MODEL, features=Features(MODEL.features.numeric, MODEL.features.categorical, compute))


def _next_up(value: Any) -> Any:
    return np.nextafter(value, np.float32(np.inf))


def _next_down(value: Any) -> Any:
    return np.nextafter(value, np.float32(-np.inf))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("departure_hour", _next_up),
        ("departure_sin", _next_down),
        ("arrival_hour", _next_down),
        ("weekday", _next_up),
        ("distance", _next_up),
        ("visibility", _next_down),
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
    trained = _train(Rows.make(_break(name, row, change), rows.columns), release)
    told = f"feature {name} of row {row}: training has {trained.features[name][row]!r}, serving {seen[row]!r}"
    assert find_difference(trained, by_grpc) == find_difference(trained, by_rest) == told


def test_a_value_where_serving_has_none_is_named(rows: Rows, release: Release, by_grpc: Seen) -> None:
    row = int(np.flatnonzero(np.isnan(by_grpc.features["wind_gust"]))[0])
    trained = _train(Rows.make(_break("wind_gust", row, lambda value: 0.0), rows.columns), release)
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
