"""Our errors as gRPC statuses and HTTP problems."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from athanor.errors import (
    AbandonedError,
    AthanorError,
    ContractError,
    DeadlineExceededError,
    FieldViolation,
    GateError,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServiceError,
    TooLargeError,
    UnauthenticatedError,
)
from athanor.serving.formats.problems import media_type_of, to_grpc_code, to_http_status, to_problem, to_rpc_status

_VIOLATIONS = (
    FieldViolation("flights[0].distance", "MINIMUM", "-1.0 is not allowed"),
    FieldViolation("flights[0].origin", "REQUIRED", "is required"),
)
_ERROR = InvalidRequestError("2 values break the contract", _VIOLATIONS)
_MESSAGE = "2 values break the contract: flights[0].distance -1.0 is not allowed; flights[0].origin is required"


def _find_kinds(kind: type[AthanorError]) -> Iterator[type[AthanorError]]:
    yield kind
    for further in kind.__subclasses__():
        yield from _find_kinds(further)


def _bad_request(status: status_pb2.Status) -> error_details_pb2.BadRequest:
    found = error_details_pb2.BadRequest()
    assert [detail.Unpack(found) for detail in status.details] == [False, True]
    return found


def _metadata_bytes(status: status_pb2.Status) -> int:
    """Its bytes on the wire: the message percent-encoded, the details in base 64."""
    readable = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
    details = base64.b64encode(status.SerializeToString())
    return (
        len(b"grpc-message")
        + len(quote(status.message, safe=readable))
        + len(b"grpc-status-details-bin")
        + len(details)
    )


@pytest.mark.parametrize("kind", list(_find_kinds(AthanorError)))
def test_every_error_has_a_code_and_a_status_that_agree(kind: type[AthanorError]) -> None:
    code, status = to_grpc_code(kind("what")), to_http_status(kind("what"))
    agreeing = {
        grpc.StatusCode.INVALID_ARGUMENT: 400,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.FAILED_PRECONDITION: 409,
        grpc.StatusCode.INTERNAL: 500,
        grpc.StatusCode.CANCELLED: 499,
        grpc.StatusCode.DEADLINE_EXCEEDED: 504,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.UNAUTHENTICATED: 401,
    }
    # HTTP has numbers of its own for what is too large, for which gRPC's "exhausted" would mean to retry, and for
    # encodings.
    assert agreeing[code] == status or status in (413, 415)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (InvalidRequestError, 400),
        (ContractError, 400),
        (ModelNotFoundError, 404),
        (NotFoundError, 404),
        (UnauthenticatedError, 401),
        (PermissionDeniedError, 403),
        (TooLargeError, 413),
        (OverloadedError, 429),
        (AbandonedError, 499),
        (DeadlineExceededError, 504),
        (GateError, 500),
        (ServiceError, 500),
        (AthanorError, 500),
    ],
)
def test_each_error_has_the_status_of_its_side(kind: type[AthanorError], status: int) -> None:
    assert to_http_status(kind("what")) == status


def test_grpc_names_the_reason_and_every_violation() -> None:
    status = to_rpc_status(_ERROR)
    assert (status.code, status.message) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], _MESSAGE)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "athanor")
    found = [(v.field, v.reason, v.description) for v in _bad_request(status).field_violations]  # type: ignore[attr-defined,unused-ignore]  # the stubs do not know `reason` yet
    assert found == [
        ("flights[0].distance", "MINIMUM", "flights[0].distance -1.0 is not allowed"),
        ("flights[0].origin", "REQUIRED", "flights[0].origin is required"),
    ]


@pytest.mark.parametrize("retry_after_s", [0.25, 1.0, 90.5])
def test_a_refusal_for_overload_says_when_to_retry(retry_after_s: float) -> None:
    status = to_rpc_status(OverloadedError("256 requests are being answered", retry_after_s))
    retry = error_details_pb2.RetryInfo()
    assert [detail.Unpack(retry) for detail in status.details] == [False, True]
    assert retry.retry_delay.ToTimedelta().total_seconds() == retry_after_s


def test_without_violations_there_is_no_bad_request() -> None:
    status = to_rpc_status(ModelNotFoundError("model 'weather' is not served"))
    assert [detail.type_url for detail in status.details] == ["type.googleapis.com/google.rpc.ErrorInfo"]


@pytest.mark.parametrize("letter", ["x", "é", "飛", "\U0001f6eb"])
@pytest.mark.parametrize("count", [1, 50, 10_000])
def test_more_violations_than_fit_are_cut_and_counted(letter: str, count: int) -> None:
    text = letter * 100
    violations = tuple(FieldViolation(f"flights[{row}].carrier", "PATTERN", text) for row in range(count))
    status = to_rpc_status(InvalidRequestError(f"{count} values break the contract", violations))
    named = len(_bad_request(status).field_violations)
    assert 0 < named <= count
    assert status.message.startswith(f"{count} values break the contract: flights[0].carrier {letter}")
    # Of the message, the first three at most; the details name others.
    assert ("; and " in status.message) is (count > 1)
    assert count == 1 or 1 <= count - int(status.message.rpartition("; and ")[2].split()[0].replace(",", "")) <= 3
    assert _metadata_bytes(status) < 8_000


@pytest.mark.parametrize("letter", ["x", "\U0001f6eb", "%"])
@pytest.mark.parametrize("kind", [ModelNotFoundError, InvalidRequestError])
def test_a_message_that_does_not_fit_is_cut(kind: type[AthanorError], letter: str) -> None:
    """A caller that names a model of a million letters gets NOT_FOUND too."""
    status = to_rpc_status(kind(f"model {letter * 1_000_000!r} is not served here"))
    assert status.message.startswith("model '")
    assert status.message.endswith("…")
    assert _metadata_bytes(status) < 8_000


def test_rest_answers_problem_details() -> None:
    problem = to_problem(_ERROR, "my request")
    assert json.loads(json.dumps(problem)) == {
        "type": "urn:athanor:error:INVALID_REQUEST",
        "title": "Invalid request",
        "status": 400,
        "detail": _MESSAGE,
        "error": _MESSAGE,
        "code": "INVALID_REQUEST",
        "request_id": "my request",
        "violations": [
            {
                "field": "flights[0].distance",
                "rule": "MINIMUM",
                "description": "flights[0].distance -1.0 is not allowed",
            },
            {"field": "flights[0].origin", "rule": "REQUIRED", "description": "flights[0].origin is required"},
        ],
    }


def test_rest_says_how_many_violations_are_not_listed() -> None:
    many = InvalidRequestError("too many to list", _VIOLATIONS, 9_998)
    problem = to_problem(many, "id")
    assert (len(problem["violations"]), problem["unlisted_violations"]) == (2, 9_998)
    assert problem["detail"].endswith("flights[0].origin is required; and 9,998 more")
    assert to_rpc_status(many).message == problem["detail"]
    assert not {"violations", "unlisted_violations"} & to_problem(NotFoundError("gone"), "id").keys()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/v2", "application/json"),
        ("/v2/models/delays/infer", "application/json"),
        ("/v1/models/delays:predict", "application/problem+json"),
        ("/v20", "application/problem+json"),
    ],
)
def test_clients_of_the_open_inference_protocol_get_json(path: str, media_type: str) -> None:
    assert media_type_of(path) == media_type


def test_grpc_and_rest_describe_violations_alike() -> None:
    problem, status = to_problem(_ERROR, "id"), to_rpc_status(_ERROR)
    assert [v["description"] for v in problem["violations"]] == [
        v.description for v in _bad_request(status).field_violations
    ]
