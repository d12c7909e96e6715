"""One call: what is sent, what is returned, and which error is raised."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from client.scripted import IMPATIENT, QUICK, Answer, ScriptedService, bad_request, echo, fail, fail_times, serving
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2
from support.flights import make_flight

from athanor.client.client import Client, connect
from athanor.error_codes import STATUSES
from athanor.errors import (
    AthanorError,
    DeadlineExceededError,
    FieldViolation,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServiceError,
    SettingsError,
    TooLargeError,
    UnauthenticatedError,
)
from athanor.serving.formats.problems import to_grpc_code, to_rpc_status
from delays.v1 import delays_pb2


def _refuse(error: AthanorError) -> Answer:
    """Refuses as our service does."""
    status = to_rpc_status(error)
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    return fail(to_grpc_code(error), status.message, metadata=metadata)


def test_each_row_gets_a_prediction(client: Client) -> None:
    response = client.predict([make_flight(flight_number=1000), make_flight(flight_number=2000)])
    assert [prediction.late_probability for prediction in response.predictions] == [0.1, 0.2]


def test_the_class_of_a_row_is_known(client: Client) -> None:
    assert client.row_class is delays_pb2.Flight


def test_id_version_and_sticky_key_are_sent(client: Client, service: ScriptedService) -> None:
    response = client.predict([make_flight()], request_id="mine", semantic_version="2.1.0", sticky_key="customer 7")
    assert (response.request_id, response.semantic_version) == ("mine", "2.1.0")
    assert service.metadata[0]["x-athanor-sticky-key"] == "customer 7"


def test_headers_that_are_not_given_are_not_sent(client: Client, service: ScriptedService) -> None:
    assert client.predict([make_flight()]).request_id == "made by the server"
    assert not {"x-request-id", "x-athanor-sticky-key", "authorization", "traceparent"} & set(service.metadata[0])


@pytest.mark.parametrize("value", ["", "two\nlines", "clé", "x" * 1025])
def test_an_invalid_header_is_refused_before_it_is_sent(client: Client, service: ScriptedService, value: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"x-request-id is .* give up to 1024 visible ASCII characters"):
        client.predict([make_flight()], request_id=value)
    assert service.asked == 0


def test_a_broken_contract_is_an_error_with_its_violations(client: Client, service: ScriptedService) -> None:
    violation = FieldViolation("flights[0].distance", "MINIMUM", "flights[0].distance -1 is too short")
    info = error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="athanor")
    service.answer = fail(grpc.StatusCode.INVALID_ARGUMENT, "one value is wrong", info, bad_request(violation))
    with pytest.raises(InvalidRequestError, match="one value is wrong") as caught:
        client.predict([make_flight(distance=-1)])
    assert caught.value.violations == (violation,)
    assert (service.asked, client.retries) == (1, 0)


@pytest.mark.parametrize(
    "details",
    [b"", b"\xff\xff no status", AnyMessage(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")],
)
def test_an_invalid_request_needs_no_readable_details(client: Client, service: ScriptedService, details: Any) -> None:
    metadata = (("grpc-status-details-bin", details),) if isinstance(details, bytes) else ()
    packed = () if isinstance(details, bytes) else (details,)
    service.answer = fail(grpc.StatusCode.INVALID_ARGUMENT, "no message", *packed, metadata=metadata)
    with pytest.raises(InvalidRequestError, match="no message") as caught:
        client.predict([])
    assert caught.value.violations == ()


@pytest.mark.parametrize("kind", STATUSES)
def test_the_client_raises_the_error_that_the_service_raised(
    target: str, service: ScriptedService, kind: type[AthanorError]
) -> None:
    service.answer = _refuse(kind("it is so"))
    with connect(target, retry=IMPATIENT) as connection:
        client = Client("delays", connection)
        with pytest.raises(AthanorError) as caught:
            client.predict([make_flight()])
    assert (type(caught.value), str(caught.value)) == (kind, "it is so")
    assert (service.asked, client.retries) == (1, 0)


@pytest.mark.parametrize(
    "details",
    [
        (),
        (error_details_pb2.ErrorInfo(reason="OF_A_NEWER_VERSION", domain="athanor"),),
        (error_details_pb2.ErrorInfo(reason="GATE_FAILED", domain="proxy.example"),),
    ],
    ids=["no reason", "unknown reason", "another domain"],
)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
        (grpc.StatusCode.NOT_FOUND, ModelNotFoundError),
        (grpc.StatusCode.UNAUTHENTICATED, UnauthenticatedError),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, OverloadedError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceededError),
        (grpc.StatusCode.INTERNAL, ServiceError),
        (grpc.StatusCode.UNKNOWN, ServiceError),
    ],
)
def test_without_a_known_reason_the_code_decides(
    client: Client,
    service: ScriptedService,
    code: grpc.StatusCode,
    details: tuple[Any, ...],
    expected: type[AthanorError],
) -> None:
    service.answer = fail(code, "it is so", *details)
    with pytest.raises(expected, match="it is so") as caught:
        client.predict([make_flight()])
    assert type(caught.value) is expected
    assert (service.asked, client.retries) == (1, 0)


def test_a_call_that_its_caller_has_not_cancelled_is_retried(client: Client, service: ScriptedService) -> None:
    """A replica that stops on a busy machine cancels calls that reach it last."""
    service.answer = fail_times(2, fail(grpc.StatusCode.CANCELLED, "CANCELLED"))
    assert len(client.predict([make_flight()]).predictions) == 1
    assert (service.asked, client.retries) == (3, 2)


def test_a_call_that_is_always_cancelled_is_a_service_error(target: str, service: ScriptedService) -> None:
    service.answer = fail(grpc.StatusCode.CANCELLED, "it is so")
    with connect(target, retry=IMPATIENT) as connection, pytest.raises(ServiceError, match="CANCELLED: it is so"):
        Client("delays", connection).predict([make_flight()])


def test_a_call_ends_when_its_channel_is_closed(target: str, service: ScriptedService) -> None:
    arrived, over = threading.Event(), threading.Event()

    def answer(request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:
        arrived.set()
        over.wait(60)
        return echo(request, context)

    service.answer = answer
    with ThreadPoolExecutor(1) as pool:
        with connect(target) as connection:
            asked = pool.submit(Client("delays", connection).predict, [make_flight()])
            assert arrived.wait(60)
        with pytest.raises(ServiceError, match="was closed; connect again"):
            asked.result(60)
        over.set()


def test_a_message_that_grpc_finds_too_large_is_a_too_large_error() -> None:
    with (
        serving(ScriptedService(), options=(("grpc.max_receive_message_length", 100),)) as port,
        connect(f"127.0.0.1:{port}", retry=QUICK) as connection,
        pytest.raises(TooLargeError, match="larger than max"),
    ):
        Client("delays", connection).predict([make_flight()] * 100)


def test_no_response_in_time_is_an_exceeded_deadline(client: Client, service: ScriptedService) -> None:
    over = threading.Event()

    def answer(request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:
        context.add_callback(over.set)
        over.wait(60)
        return echo(request, context)

    service.answer = answer
    # On a busy machine, the first may end before the service has seen it.
    for timeout_s in (0.1, 1.0, 10.0):
        with pytest.raises(DeadlineExceededError, match=rf"no answer within {timeout_s:g} s"):
            client.predict([make_flight()], timeout_s=timeout_s)
        if service.asked:
            break
    assert over.wait(60), "the service sees the call cancelled"


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_timeout_is_refused(client: Client, timeout_s: float) -> None:
    with pytest.raises(SettingsError, match=f"timeout_s is {timeout_s}; give a number of seconds above 0"):
        client.predict([make_flight()], timeout_s=timeout_s)


@pytest.mark.parametrize("model", ["weather", "delays.v2"])
def test_a_model_without_stubs_is_not_found(model: str) -> None:
    with (
        connect("127.0.0.1:1") as connection,
        pytest.raises(NotFoundError, match=r"no generated stubs of .*_reflection"),
    ):
        Client(model, connection)


@pytest.mark.parametrize("model", ["", "..", "a b", "../delays", "delays.v", "delays.v0", "delays.v1beta1", "D" * 500])
def test_what_cannot_be_a_model_is_not_found(model: str) -> None:
    with connect("127.0.0.1:1") as connection:
        for make in (Client, Client.from_reflection):
            with pytest.raises(NotFoundError, match=r"cannot be a model; give a name such as") as caught:
                make(model, connection)
            assert len(str(caught.value)) < 200


def test_a_closed_connection_is_an_error(target: str) -> None:
    with connect(target) as connection:
        client = Client("delays", connection)
    for use in (lambda: client.predict([make_flight()]), lambda: Client("delays", connection)):
        with pytest.raises(ServiceError, match="was closed; connect again"):
            use()
