"""A real service in this process with scripted answers."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from athanor.client.connection.retries import RetryPolicy
from athanor.errors import FieldViolation
from delays.v1 import delays_pb2, delays_pb2_grpc
from grpc_reflection.v1alpha import reflection

# Short waits, and on a busy machine still as many as it takes.
QUICK: Final = RetryPolicy(first_s=0.01, longest_s=0.05, patience_s=60.0)
# For services that never answer.
IMPATIENT: Final = replace(QUICK, patience_s=1.0)

SERVICE: Final = "delays.v1.DelaysService"

Answer: TypeAlias = Callable[[delays_pb2.PredictRequest, Any], delays_pb2.PredictResponse]


class ScriptedService(delays_pb2_grpc.DelaysServiceServicer):
    """Answers with `answer` and records the requests.

    Attributes:
        metadata: of each request, in order of arrival.
        most_at_once: maximum of requests in flight.
    """

    def __init__(self) -> None:
        self.answer: Answer = echo
        self.metadata: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    @property
    def asked(self) -> int:
        return len(self.metadata)

    def Predict(self, request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:  # noqa: N802 - as the proto names it
        with self._lock:
            self.metadata.append(dict(context.invocation_metadata()))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.answer(request, context)
        finally:
            with self._lock:
                self._at_once -= 1


def echo(request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:
    """One prediction per row, made from its flight number, and the request's id."""
    metadata = dict(context.invocation_metadata())
    return delays_pb2.PredictResponse(
        predictions=[delays_pb2.Prediction(late_probability=f.flight_number / 10_000) for f in request.flights],
        model_name="delays",
        semantic_version=request.semantic_version or "1.0.0",
        release_digest="d" * 64,
        request_id=metadata.get("x-request-id", "made by the server"),
        variant="champion",
    )


def fail(code: grpc.StatusCode, text: str, *details: Message, metadata: tuple[tuple[str, Any], ...] = ()) -> Answer:
    """Refuses, with the given details of `google.rpc`."""

    def answer(request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:
        sent = metadata
        if details:
            status = status_pb2.Status(code=code.value[0], message=text)
            for detail in details:
                status.details.add().Pack(detail)
            sent = (*sent, ("grpc-status-details-bin", status.SerializeToString()))
        context.set_trailing_metadata(sent)
        context.abort(code, text)
        raise AssertionError("abort raises")

    return answer


def fail_times(times: int, failing: Answer) -> Answer:
    """Refuses the first few requests."""
    left = iter(range(times))

    def answer(request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:
        chosen = echo if next(left, None) is None else failing
        return chosen(request, context)

    return answer


def bad_request(*violations: FieldViolation) -> error_details_pb2.BadRequest:
    found = error_details_pb2.BadRequest()
    for violation in violations:
        field: Any = found.field_violations.add(field=violation.field, description=violation.description)
        field.reason = violation.rule  # the stubs do not know it yet
    return found


def refuse_short_flights(most: int = 10**6) -> Answer:
    """Refuses flights of distance below 1 as our service does: names the first `most` in the order of the rows."""

    def answer(request: delays_pb2.PredictRequest, context: Any) -> delays_pb2.PredictResponse:
        wrong = [i for i, flight in enumerate(request.flights) if flight.distance < 1]
        if not wrong:
            return echo(request, context)
        found = [f"flights[{i}].distance" for i in wrong[:most]]
        details = bad_request(*(FieldViolation(field, "MINIMUM", f"{field} is too short") for field in found))
        return fail(grpc.StatusCode.INVALID_ARGUMENT, f"{len(wrong)} values are wrong", details)(request, context)

    return answer


@contextmanager
def serving(
    service: ScriptedService,
    credentials: grpc.ServerCredentials | None = None,
    port: int = 0,
    options: tuple[tuple[str, Any], ...] = (),
) -> Iterator[int]:
    """Gives the service's port on 127.0.0.1. Its reflection is grpcio's, which answers v1alpha alone."""
    server = grpc.server(futures.ThreadPoolExecutor(16), options=(("grpc.so_reuseport", 0), *options))
    delays_pb2_grpc.add_DelaysServiceServicer_to_server(service, server)
    reflection.enable_server_reflection((SERVICE, reflection.SERVICE_NAME), server)
    address = f"127.0.0.1:{port}"
    bound = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()
