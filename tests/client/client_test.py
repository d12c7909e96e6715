"""The client, against a service in the same process that answers as it is told."""

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, TypeAlias

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from support.flights import make_flight

from athanor.client.client import Client, connect
from athanor.errors import FieldViolation, InvalidRequestError, ModelNotFoundError, NotFoundError, ServiceError
from flight_delay.v1 import flight_delay_pb2, flight_delay_pb2_grpc

Answer: TypeAlias = Callable[[flight_delay_pb2.PredictRequest, Any], flight_delay_pb2.PredictResponse]


class _Service(flight_delay_pb2_grpc.FlightDelayServiceServicer):
    """Answers with `answer`, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = _echo
        self.asked = 0

    def Predict(self, request: flight_delay_pb2.PredictRequest, context: Any) -> flight_delay_pb2.PredictResponse:  # noqa: N802 - as the proto names it
        self.asked += 1
        return self.answer(request, context)


def _echo(request: flight_delay_pb2.PredictRequest, context: Any) -> flight_delay_pb2.PredictResponse:
    """One prediction a row, and the request's id."""
    metadata = dict(context.invocation_metadata())
    return flight_delay_pb2.PredictResponse(
        predictions=[flight_delay_pb2.Prediction(late_probability=0.5) for _ in request.flights],
        request_id=metadata.get("x-request-id", "made by the server"),
    )


def _fail(code: grpc.StatusCode, text: str, details: bytes | None = None) -> Answer:
    def answer(request: flight_delay_pb2.PredictRequest, context: Any) -> flight_delay_pb2.PredictResponse:
        if details is not None:
            context.set_trailing_metadata([("grpc-status-details-bin", details)])
        context.abort(code, text)
        raise AssertionError("abort raises")

    return answer


@pytest.fixture
def service() -> _Service:
    return _Service()


@pytest.fixture
def client(service: _Service) -> Iterator[Client]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    flight_delay_pb2_grpc.add_FlightDelayServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with connect(f"127.0.0.1:{port}") as channel:
        yield Client("flight_delay", channel)
    server.stop(None).wait()


def test_it_asks_for_rows_and_gets_predictions(client: Client) -> None:
    response = client.predict([make_flight(), make_flight()])
    assert [prediction.late_probability for prediction in response.predictions] == [0.5, 0.5]


def test_it_knows_the_class_of_a_row(client: Client) -> None:
    assert client.row_class is flight_delay_pb2.Flight


def test_the_request_id_travels_along(client: Client) -> None:
    assert client.predict([make_flight()], request_id="my request").request_id == "my request"
    assert client.predict([make_flight()]).request_id == "made by the server"


def test_a_broken_contract_comes_back_with_its_violations(client: Client, service: _Service) -> None:
    bad_request = error_details_pb2.BadRequest()
    bad_request.field_violations.add(field="flights[0].distance", reason="MINIMUM", description="too short")  # type: ignore[call-arg,unused-ignore]  # the stubs do not know `reason` yet
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="one value is wrong")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="INVALID_REQUEST"))
    status.details.add().Pack(bad_request)
    service.answer = _fail(grpc.StatusCode.INVALID_ARGUMENT, status.message, status.SerializeToString())
    with pytest.raises(InvalidRequestError, match="one value is wrong") as caught:
        client.predict([make_flight(distance=-1)])
    assert caught.value.violations == (FieldViolation("flights[0].distance", "MINIMUM", "too short"),)


def test_an_invalid_request_may_come_without_details(client: Client, service: _Service) -> None:
    service.answer = _fail(grpc.StatusCode.INVALID_ARGUMENT, "no message")
    with pytest.raises(InvalidRequestError, match="no message") as caught:
        client.predict([])
    assert caught.value.violations == ()


def test_a_model_that_is_not_served_is_not_found(client: Client, service: _Service) -> None:
    service.answer = _fail(grpc.StatusCode.NOT_FOUND, "model 'weather' is not served")
    with pytest.raises(ModelNotFoundError, match="model 'weather' is not served"):
        client.predict([make_flight()])


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNKNOWN])
def test_any_other_failure_is_the_services(client: Client, service: _Service, code: grpc.StatusCode) -> None:
    service.answer = _fail(code, "it broke")
    with pytest.raises(ServiceError, match=f"the service did not answer: {code.name}: it broke"):
        client.predict([make_flight()])
    assert service.asked == 1


def test_an_unavailable_service_is_asked_again(client: Client, service: _Service) -> None:
    def answer(request: flight_delay_pb2.PredictRequest, context: Any) -> flight_delay_pb2.PredictResponse:
        if service.asked < 3:
            return _fail(grpc.StatusCode.UNAVAILABLE, "starting")(request, context)
        return _echo(request, context)

    service.answer = answer
    assert len(client.predict([make_flight()]).predictions) == 1
    assert service.asked == 3


def test_a_service_that_stays_unavailable_is_given_up_after_five_times(client: Client, service: _Service) -> None:
    service.answer = _fail(grpc.StatusCode.UNAVAILABLE, "starting")
    with pytest.raises(ServiceError, match="UNAVAILABLE: starting"):
        client.predict([make_flight()])
    assert service.asked == 5


def test_a_service_that_does_not_answer_in_time_did_not_answer(client: Client, service: _Service) -> None:
    def answer(request: flight_delay_pb2.PredictRequest, context: Any) -> flight_delay_pb2.PredictResponse:
        while context.is_active():
            time.sleep(0.01)
        return _echo(request, context)

    service.answer = answer
    with pytest.raises(ServiceError, match="DEADLINE_EXCEEDED"):
        client.predict([make_flight()], timeout_s=0.1)


def test_a_project_without_stubs_is_not_found() -> None:
    message = "this binary carries no stubs of project 'weather'"
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(NotFoundError, match=message):
        Client("weather", channel)
