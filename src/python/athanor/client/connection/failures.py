"""Failed gRPC calls as errors, and whether another attempt may succeed."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from athanor.error_codes import BY_GRPC_CODE, BY_REASON, DOMAIN
from athanor.errors import (
    AbandonedError,
    AthanorError,
    DeadlineExceededError,
    FieldViolation,
    InvalidAnswerError,
    InvalidRequestError,
    OverloadedError,
    ServiceError,
    TooLargeError,
)

_Detail = TypeVar("_Detail", bound=Message)

# gRPC's own text, on either side, for a message with too many bytes; the code is the one of an overload.
_TOO_MANY_BYTES: Final = "message larger than max"
# The TLS library's text for a refused certificate. The code is UNAVAILABLE, but another attempt would fail too.
_TLS_REFUSAL: Final = "SSL_ERROR_SSL"
# Where a server says how long to wait, and in what part of a second. HTTP has the first, gRPC the second.
_PUSHBACK: Final = {"retry-after": 1.0, "grpc-retry-pushback-ms": 0.001}

_Code = grpc.StatusCode

# Errors of a call that met a proxy, a restart or a drain instead of a replica: gRPC's code, and a part of its text.
# Such a call may be repeated, since a prediction changes nothing. A call that a replica refused has a reason beside
# its code, and is another matter.
_LOST: Final = (
    # No connection, or one that was lost; a refused stream; HTTP statuses 429, 502, 503 and 504; doors that are closed.
    (_Code.UNAVAILABLE, ""),
    # A stream that a proxy, or a server that stops, has reset with CANCEL.
    (_Code.CANCELLED, ""),
    # A stream reset with any other code, such as INTERNAL_ERROR.
    (_Code.INTERNAL, "RST_STREAM"),
    (_Code.RESOURCE_EXHAUSTED, "RST_STREAM"),
    # The answer ended before its status: who sent it died.
    (_Code.UNKNOWN, "No status received"),
    (_Code.UNKNOWN, "Stream removed"),
    # A proxy that failed, or found the request slow.
    (_Code.UNKNOWN, "Received http2 header with status: 500"),
    (_Code.UNKNOWN, "Received http2 header with status: 408"),
    # A gRPC server with more calls than it has looked at.
    (_Code.RESOURCE_EXHAUSTED, "Too many pending requests"),
)


class FailedCall(Protocol):
    """What errors of grpc and of grpc.aio have in common."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Any: ...


@dataclass(frozen=True)
class Failure:
    """One failed attempt.

    Attributes:
        error: raised unless the call is retried.
        retry_after_s: seconds to wait at least before the next attempt; None if the same request would fail again.
    """

    error: AthanorError
    retry_after_s: float | None = None


def to_failure(call: Any, timeout_s: float, hide: Callable[[str], str]) -> Failure:
    """Reads a failed call.

    The service's reason decides the class of the error. An answer without one, as from a proxy, is read by its code.

    Args:
        call: the `grpc.RpcError` of grpc or grpc.aio, a `FailedCall`.
        timeout_s: deadline of the whole call, for the message.
        hide: removes from a text what must not be shown, in case the service repeats it.
    """
    failed: FailedCall = call
    code, text, status = failed.code(), hide(failed.details() or ""), _read_status(failed)
    kind = _read_reason(status)
    # Whatever the reason, UNAVAILABLE says that another attempt may succeed.
    is_lost = (kind is None or code is _Code.UNAVAILABLE) and _is_lost(code, text)
    if kind is None:
        kind, text = _read_code(code, text, timeout_s)
    if issubclass(kind, InvalidRequestError | InvalidAnswerError):
        return Failure(kind(text, _read_violations(status, hide)))
    retry_after_s = _read_retry_after(status, failed)
    if kind is OverloadedError and retry_after_s is not None:
        return Failure(OverloadedError(text, retry_after_s), retry_after_s)
    return Failure(kind(text), (retry_after_s or 0.0) if is_lost else None)


def _is_lost(code: grpc.StatusCode, text: str) -> bool:
    return _TLS_REFUSAL not in text and any(code is lost and words in text for lost, words in _LOST)


def _read_reason(status: status_pb2.Status) -> type[AthanorError] | None:
    """Class of the error that the service raised; None if it names none, or one of a newer version."""
    info = _find(status, error_details_pb2.ErrorInfo)
    return BY_REASON.get(info.reason) if info is not None and info.domain == DOMAIN else None


def _read_code(code: grpc.StatusCode, text: str, timeout_s: float) -> tuple[type[AthanorError], str]:
    """Error class and message of an answer without a reason."""
    kind = BY_GRPC_CODE.get(code.name, ServiceError)
    if _TOO_MANY_BYTES in text:
        return TooLargeError, text
    if kind is DeadlineExceededError:
        return kind, f"no answer within {timeout_s:g} s: {text}"
    # A proxy, or a replica that stops, cancels calls too: the caller may still be there.
    if kind in {AbandonedError, ServiceError}:
        return ServiceError, f"the service did not answer: {code.name}: {text}"
    return kind, text


def _read_violations(status: status_pb2.Status, hide: Callable[[str], str]) -> tuple[FieldViolation, ...]:
    found = _find(status, error_details_pb2.BadRequest)
    violations: Any = found.field_violations if found else ()  # the stubs do not know `reason` yet
    return tuple(FieldViolation(v.field, v.reason, hide(v.description)) for v in violations)


def _read_retry_after(status: status_pb2.Status, call: FailedCall) -> float | None:
    """Seconds, from the details or from the metadata; None if neither names a time."""
    info = _find(status, error_details_pb2.RetryInfo)
    if info is not None:
        return max(0.0, info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    metadata = dict(call.trailing_metadata() or ())
    for name, unit_s in _PUSHBACK.items():
        try:
            seconds = float(metadata.get(name, "")) * unit_s
        except ValueError:
            continue
        if isfinite(seconds):
            return max(0.0, seconds)
    return None


def _read_status(call: FailedCall) -> status_pb2.Status:
    """The details of the answer; empty if there are none, or they cannot be read."""
    try:
        return rpc_status.from_call(call) or status_pb2.Status()  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        return status_pb2.Status()


def _find(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    found = kind()
    for detail in status.details:
        try:
            if detail.Unpack(found):
                return found
        except DecodeError:
            continue
    return None
