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
    may_pass = code is grpc.StatusCode.UNAVAILABLE and _TLS_REFUSAL not in text
    if kind is None:
        may_pass |= code is grpc.StatusCode.CANCELLED
        kind, text = _read_code(code, text, timeout_s)
    if issubclass(kind, InvalidRequestError | InvalidAnswerError):
        return Failure(kind(text, _read_violations(status, hide)))
    if kind is OverloadedError:
        retry_after_s = _read_retry_after(status, failed)
        error = OverloadedError(text) if retry_after_s is None else OverloadedError(text, retry_after_s)
        return Failure(error, retry_after_s)
    return Failure(kind(text), 0.0 if may_pass else None)


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
    """Seconds, from the details or from the metadata `retry-after`; None if neither names a time."""
    info = _find(status, error_details_pb2.RetryInfo)
    if info is not None:
        return max(0.0, info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    values = [value for key, value in call.trailing_metadata() or () if key == "retry-after"]
    try:
        seconds = float(values[0])
    except (IndexError, ValueError):
        return None
    return max(0.0, seconds) if isfinite(seconds) else None


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
