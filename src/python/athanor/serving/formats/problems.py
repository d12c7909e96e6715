"""Errors as gRPC statuses and HTTP problem details."""

from typing import Any, Final

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from athanor.error_codes import DOMAIN, find_status
from athanor.errors import AthanorError, FieldViolation, OverloadedError, unlisted_of, violations_of

# gRPC clients accept 8 KiB of metadata by default. The message is in them twice: by itself, where a character may take
# twelve bytes, and in the details.
_MOST_DETAIL_BYTES: Final = 4_000
_MOST_MESSAGE_BYTES: Final = 900
# A REST body has no such limit; but the rest of a message may quote what was asked for.
_LONGEST_MESSAGE: Final = 2_000
_LONGEST_CAUSE: Final = 300
# Clients of the Open Inference Protocol show the message and nothing else.
_MOST_IN_MESSAGE: Final = 3

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_JSON: Final = "application/json"


def to_grpc_code(error: AthanorError) -> grpc.StatusCode:
    return grpc.StatusCode[find_status(error).grpc]


def to_http_status(error: AthanorError) -> int:
    return find_status(error).http


def media_type_of(path: str) -> str:
    """Media type of a problem, for a request to that path: clients of the Open Inference Protocol read JSON alone."""
    return _JSON if path == "/v2" or path.startswith("/v2/") else PROBLEM_MEDIA_TYPE


def to_rpc_status(error: AthanorError) -> status_pb2.Status:
    """`google.rpc.Status` with `ErrorInfo` and, for a broken contract, `BadRequest`: as many violations as fit."""
    name = to_grpc_code(error).name
    status = status_pb2.Status(code=code_pb2.Code.Value(name), message=to_message(error, _MOST_MESSAGE_BYTES))
    _attach(status, error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN))
    bad_request = error_details_pb2.BadRequest()
    violations = violations_of(error)
    if isinstance(error, OverloadedError):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        _attach(status, retry)
    for violation in violations:
        bad_request.field_violations.add(field=violation.field, reason=violation.rule, description=_describe(violation))
        if bad_request.ByteSize() > _MOST_DETAIL_BYTES:
            del bad_request.field_violations[-1]
            break
    if violations:
        _attach(status, bad_request)
    return status


def _attach(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _describe(violation: FieldViolation) -> str:
    return f"{violation.field} {violation.description}"


def to_message(error: AthanorError, most_bytes: int = _LONGEST_MESSAGE) -> str:
    """The text of an error with its first violations, and how many there are beside them."""
    text, violations = str(error), violations_of(error)
    if len(text) > _LONGEST_CAUSE:
        text = f"{text[:_LONGEST_CAUSE]}…"
    if not violations:
        return _fit(text, most_bytes)
    count = len(violations) + unlisted_of(error)
    named = [_describe(violation) for violation in violations[:_MOST_IN_MESSAGE]]
    for first in range(len(named), 0, -1):
        more = f"; and {count - first:,} more" if count > first else ""
        if _size(found := f"{text}: {'; '.join(named[:first])}{more}") <= most_bytes:
            return found
    more = f"; and {count - 1:,} more" if count > 1 else ""
    return f"{_fit(f'{text}: {named[0]}', most_bytes - len(more))}{more}"


def _size(text: str) -> int:
    """Bytes of a text as gRPC sends it: one for a visible character, three for each byte of any other."""
    return sum(1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode()) for character in text)


def _fit(text: str, most_bytes: int) -> str:
    """As much of the beginning of a text as fits, with an ellipsis in place of the rest."""
    if _size(text) <= most_bytes:
        return text
    left = most_bytes - _size("…")
    for position, character in enumerate(text):
        left -= _size(character)
        if left < 0:
            return f"{text[:position]}…"
    return text


def to_problem(error: AthanorError, request_id: str) -> dict[str, Any]:
    """RFC 9457 problem details, with the error's code, the request's id and the violations."""
    message = to_message(error)
    problem: dict[str, Any] = {
        "type": f"urn:athanor:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": to_http_status(error),
        "detail": message,
        # Clients of the Open Inference Protocol read this key.
        "error": message,
        "code": error.code,
        "request_id": request_id,
    }
    if violations := violations_of(error):
        problem["violations"] = [{"field": v.field, "rule": v.rule, "description": _describe(v)} for v in violations]
    if unlisted := unlisted_of(error):
        problem["unlisted_violations"] = unlisted
    return problem
