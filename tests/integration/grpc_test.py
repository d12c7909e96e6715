"""The gRPC door, asked by generated stubs on plain grpc, and by our client."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from integration.bad_rows import BAD_FIELDS, make_bad_rows
from integration.service import Service

from athanor.client.aio import AsyncClient
from athanor.client.client import Client, connect
from athanor.errors import InvalidRequestError
from athanor.release.answers import TOLERANCE
from athanor.release.traffic import Traffic
from delays.v1 import delays_pb2, delays_pb2_grpc
from projects.delays.model import MODEL

Stub: TypeAlias = delays_pb2_grpc.DelaysServiceStub
Flight: TypeAlias = delays_pb2.Flight
Response: TypeAlias = delays_pb2.PredictResponse

_TIMEOUT_S = 60.0
_PREDICT = "/delays.v1.DelaysService/Predict"


def _ask(stub: Stub, flights: list[Flight], model_name: str = "", semantic_version: str = "") -> Response:
    request = delays_pb2.PredictRequest(flights=flights, model_name=model_name, semantic_version=semantic_version)
    return stub.Predict(request, timeout=_TIMEOUT_S)


def _expect(reference: dict[str, Any]) -> list[float]:
    probabilities: list[float] = reference["answers"][MODEL.contract.prediction.name]
    return probabilities


def _probabilities(response: Response) -> list[float]:
    return [prediction.late_probability for prediction in response.predictions]


def _refusal(stub: Stub, flights: list[Flight], **asked: str) -> Any:
    """The error that a request gets."""
    with pytest.raises(grpc.RpcError) as caught:
        _ask(stub, flights, **asked)
    return caught.value


def _violations(error: Any) -> list[tuple[str, str, str]]:
    """Field, reason and description of each."""
    status = rpc_status.from_call(error)
    assert status is not None
    bad_request = error_details_pb2.BadRequest()
    (packed,) = (detail for detail in status.details if detail.Is(bad_request.DESCRIPTOR))
    packed.Unpack(bad_request)
    # The stubs do not know `reason` yet.
    violations: Any = bad_request.field_violations
    return [(violation.field, violation.reason, violation.description) for violation in violations]


def _send(channel: Any, method: str, content: bytes) -> Any:
    """Sends bytes as they are; returns the answer, or the error."""
    try:
        return channel.unary_unary(method)(content, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        return error


def test_it_answers_as_training_did(stub: Stub, flights: list[Flight], reference: dict[str, Any]) -> None:
    assert _probabilities(_ask(stub, flights)) == pytest.approx(_expect(reference), rel=0, abs=TOLERANCE)


def test_each_flight_is_answered_by_itself(stub: Stub, flights: list[Flight], reference: dict[str, Any]) -> None:
    for flight, expected in list(zip(flights, _expect(reference), strict=True))[:5]:
        assert _probabilities(_ask(stub, [flight])) == pytest.approx([expected], rel=0, abs=TOLERANCE)


def test_the_answer_names_what_answered(stub: Stub, flights: list[Flight], traffic: Traffic) -> None:
    response = _ask(stub, flights[:1])
    assert response.model_name == traffic.model == "delays"
    assert response.semantic_version == traffic.require_champion().semantic_version == "1.0.0"
    assert response.release_digest == traffic.require_champion().digest


def test_the_model_and_version_that_answer_may_be_asked_for(stub: Stub, flights: list[Flight]) -> None:
    asked = _ask(stub, flights[:1], model_name="delays", semantic_version="1.0.0")
    assert _probabilities(asked) == _probabilities(_ask(stub, flights[:1]))


def test_the_request_id_comes_back(stub: Stub, flights: list[Flight]) -> None:
    request = delays_pb2.PredictRequest(flights=flights[:1])
    response, call = stub.Predict.with_call(request, timeout=_TIMEOUT_S, metadata=(("x-request-id", "a-caller's-own"),))
    assert response.request_id == "a-caller's-own"
    assert dict(call.trailing_metadata())["x-request-id"] == "a-caller's-own"


def test_a_request_without_an_id_gets_one_of_its_own(stub: Stub, flights: list[Flight]) -> None:
    ids = {_ask(stub, flights[:1]).request_id for _ in range(3)}
    assert len(ids) == 3
    assert all(uuid.UUID(request_id) for request_id in ids)


def test_our_client_gets_what_plain_grpc_gets(service: Service, stub: Stub, flights: list[Flight]) -> None:
    with connect(service.grpc, home=service.home.path) as channel:
        response = Client("delays", channel).predict(flights, request_id="of-the-client")
    assert _probabilities(response) == _probabilities(_ask(stub, flights))
    assert response.request_id == "of-the-client"


def test_our_client_without_stubs_gets_the_same(service: Service, stub: Stub, flights: list[Flight]) -> None:
    async def ask() -> Any:
        async with connect(service.grpc, home=service.home.path) as channel:
            client = await AsyncClient.from_reflection("delays", channel)
            return await client.predict([client.row_class.FromString(flight.SerializeToString()) for flight in flights])

    with connect(service.grpc, home=service.home.path) as channel:
        client = Client.from_reflection("delays", channel)
        response = client.predict([client.row_class.FromString(flight.SerializeToString()) for flight in flights])
    assert _probabilities(response) == _probabilities(asyncio.run(ask())) == _probabilities(_ask(stub, flights))


def test_our_client_raises_with_all_violations(service: Service) -> None:
    with connect(service.grpc, home=service.home.path) as channel, pytest.raises(InvalidRequestError) as caught:
        Client("delays", channel).predict(make_bad_rows())
    assert [(violation.field, violation.rule) for violation in caught.value.violations] == BAD_FIELDS


def test_every_violation_is_named(stub: Stub) -> None:
    error = _refusal(stub, make_bad_rows())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    violations = _violations(error)
    assert [(field, reason) for field, reason, _ in violations] == BAD_FIELDS
    described = {field: description for field, _, description in violations}
    assert "'BOS'" in described["flights[1].origin"]
    assert "EWR, JFK, LGA" in described["flights[1].origin"]
    assert "is required" in described["flights[1].scheduled_departure"]


def test_the_rows_between_bad_ones_are_not_blamed(stub: Stub, flights: list[Flight]) -> None:
    bad = Flight()
    bad.CopyFrom(flights[1])
    bad.distance = -1
    found = _violations(_refusal(stub, [flights[0], bad, flights[2]]))
    assert [field for field, *_ in found] == ["flights[1].distance"]


def test_more_violations_than_fit_are_counted(stub: Stub) -> None:
    """GRPC's metadata is small: a client with the usual limits must still get the answer."""
    error = _refusal(stub, [Flight()] * 1_000)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "7000 values in 1000" in error.details()
    assert "and 6,997 more" in error.details()
    assert 3 < len(_violations(error)) < 7_000


def test_no_flights_are_refused(stub: Stub) -> None:
    error = _refusal(stub, [])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation[:2] for violation in _violations(error)] == [("flights", "REQUIRED")]


def test_as_many_flights_as_allowed_are_answered_and_one_more_is_refused(stub: Stub, flights: list[Flight]) -> None:
    many = flights * 100
    assert len(_ask(stub, many).predictions) == 10_000
    error = _refusal(stub, [*many, flights[0]])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation[:2] for violation in _violations(error)] == [("flights", "TOO_MANY")]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"model_name": "no_such_model"}, "no_such_model"),
        ({"semantic_version": "9.9.9"}, "9.9.9"),
        ({"model_name": "delays", "semantic_version": "not a version"}, "not a version"),
    ],
)
def test_another_model_or_version_is_not_found(
    stub: Stub, flights: list[Flight], asked: dict[str, str], told: str
) -> None:
    error = _refusal(stub, flights[:1], **asked)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert told in error.details()


@pytest.mark.parametrize("content", [b"\xff\xff\xff\xff", b"\x0a\xff", b"\x0a\x05\x12\xff\xff\xff\xff"])
def test_bytes_that_are_no_message_are_refused(
    channel: grpc.Channel, stub: Stub, flights: list[Flight], content: bytes
) -> None:
    error = _send(channel, _PREDICT, content)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "delays.v1.PredictRequest" in error.details()
    assert len(_ask(stub, flights[:1]).predictions) == 1


def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.Channel) -> None:
    error = _send(channel, "/delays.v1.DelaysService/Guess", b"")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_good_requests_beside_bad_ones_are_answered(
    channel: grpc.Channel, flights: list[Flight], reference: dict[str, Any]
) -> None:
    good = delays_pb2.PredictRequest(flights=flights)
    bad = delays_pb2.PredictRequest(flights=make_bad_rows())
    contents = [good.SerializeToString(), bad.SerializeToString(), b"\xff\xff"] * 50
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda content: _send(channel, _PREDICT, content), contents))
    for answer in answers[::3]:
        found = _probabilities(Response.FromString(answer))
        assert found == pytest.approx(_expect(reference), rel=0, abs=TOLERANCE)
    for answer in (*answers[1::3], *answers[2::3]):
        assert answer.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_thousands_of_requests_at_once_are_answered_or_refused_in_words(
    channel: grpc.Channel, flights: list[Flight]
) -> None:
    """GRPC's core would cancel some of more than a thousand, uncounted."""
    content = delays_pb2.PredictRequest(flights=flights[:1]).SerializeToString()
    ask: Any = channel.unary_unary(_PREDICT, None, None)
    calls = [ask.future(content, timeout=_TIMEOUT_S) for _ in range(3_000)]
    lost = [call.details() for call in calls if call.code() is not grpc.StatusCode.OK]
    assert [details for details in lost if "retry later" not in details] == []


def test_a_stranger_is_refused_in_words_whatever_it_sends(service: Service) -> None:
    """The refusal comes before the message has arrived."""
    with grpc.insecure_channel(service.grpc) as stranger:
        for content in (b"", bytes(15_000_000), bytes(40_000_000)):
            error = _send(stranger, _PREDICT, content)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "send a token of this service" in error.details()


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_answered(
    channel: grpc.Channel, flights: list[Flight], reference: dict[str, Any], compression: grpc.Compression
) -> None:
    ask: Any = channel.unary_unary(_PREDICT, None, Response.FromString)
    response = ask(
        delays_pb2.PredictRequest(flights=flights).SerializeToString(), timeout=_TIMEOUT_S, compression=compression
    )
    assert _probabilities(response) == pytest.approx(_expect(reference), rel=0, abs=TOLERANCE)
