"""Errors as gRPC statuses and HTTP problem details."""

from typing import Any, Final

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from athanor.error_codes import DOMAIN, find_status
from athanor.errors import AthanorError, OverloadedError, violations_of

# gRPC clients accept 8 KiB of metadata by default. A REST body has no such limit and names every violation.
_MOST_DETAIL_BYTES: Final = 5_000
# A character may take twelve bytes there. What comes with violations is short; the rest may quote what was asked for.
_LONGEST_MESSAGE: Final = 300

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


def to_grpc_code(error: AthanorError) -> grpc.StatusCode:
    return grpc.StatusCode[find_status(error).grpc]


def to_http_status(error: AthanorError) -> int:
    return find_status(error).http


def to_rpc_status(error: AthanorError) -> status_pb2.Status:
    """`google.rpc.Status` with `ErrorInfo` and, for a broken contract, `BadRequest`: as many violations as fit."""
    name = to_grpc_code(error).name
    message = str(error)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    status = status_pb2.Status(code=code_pb2.Code.Value(name), message=message)
    _attach(status, error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN))
    bad_request = error_details_pb2.BadRequest()
    violations = violations_of(error)
    if isinstance(error, OverloadedError):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        _attach(status, retry)
    for violation in violations:
        bad_request.field_violations.add(
            field=violation.field, reason=violation.rule, description=f"{violation.field} {violation.description}"
        )
        if bad_request.ByteSize() > _MOST_DETAIL_BYTES:
            del bad_request.field_violations[-1]
            status.message += f"; the details name the first {len(bad_request.field_violations)}"
            break
    if violations:
        _attach(status, bad_request)
    return status


def _attach(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def to_problem(error: AthanorError, request_id: str) -> dict[str, Any]:
    """RFC 9457 problem details, with the error's code, the request's id and all violations."""
    problem: dict[str, Any] = {
        "type": f"urn:athanor:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": to_http_status(error),
        "detail": str(error),
        # Clients of the Open Inference Protocol read this key.
        "error": str(error),
        "code": error.code,
        "request_id": request_id,
    }
    if violations := violations_of(error):
        problem["violations"] = [
            {"field": v.field, "rule": v.rule, "description": f"{v.field} {v.description}"} for v in violations
        ]
    return problem
