"""What gRPC says when a call fails, as our errors, and whether it may pass."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from athanor.errors import (
    AthanorError,
    DeadlineExceededError,
    FieldViolation,
    InvalidRequestError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ServiceError,
    TooLargeError,
    UnauthenticatedError,
)

_Detail = TypeVar("_Detail", bound=Message)

_PLAIN: Final[dict[grpc.StatusCode, type[AthanorError]]] = {
    grpc.StatusCode.NOT_FOUND: ModelNotFoundError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
}

# How gRPC itself says, on either side, that a message has too many bytes: under the code of an overload.
_TOO_MANY_BYTES: Final = "message larger than max"
# What a TLS library says of certificates that do not fit. The connection is refused as unavailable, and stays so.
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
        error: what the caller is told if nothing is tried again.
        retry_after_s: seconds the service wants to be left alone, 0 where it names none; None if the same request
            would fail again.
    """

    error: AthanorError
    retry_after_s: float | None = None


def to_failure(call: Any, timeout_s: float, hide: Callable[[str], str]) -> Failure:
    """Reads a failed call.

    Args:
        call: the `grpc.RpcError` of grpc or grpc.aio, a `FailedCall`.
        timeout_s: seconds that the whole call had.
        hide: takes out of a text what must not be shown, should a service repeat it.
    """
    failed: FailedCall = call
    code, text = failed.code(), hide(failed.details() or "")
    status = _read_status(failed)
    if code in _PLAIN:
        return Failure(_PLAIN[code](text))
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return Failure(_read_refusal(text, status, hide))
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return _read_overload(text, status, failed)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failure(DeadlineExceededError(f"no answer within {timeout_s:g} s: {text}"))
    error = ServiceError(f"the service did not answer: {code.name}: {text}")
    passes = code is grpc.StatusCode.UNAVAILABLE and _TLS_REFUSAL not in text
    return Failure(error, 0.0 if passes else None)


def _read_refusal(text: str, status: status_pb2.Status, hide: Callable[[str], str]) -> AthanorError:
    info = _find(status, error_details_pb2.ErrorInfo)
    if info is not None and info.reason == TooLargeError.code:
        return TooLargeError(text)
    found = _find(status, error_details_pb2.BadRequest)
    violations: Any = found.field_violations if found else ()  # the stubs do not know `reason` yet
    return InvalidRequestError(text, tuple(FieldViolation(v.field, v.reason, hide(v.description)) for v in violations))


def _read_overload(text: str, status: status_pb2.Status, call: FailedCall) -> Failure:
    if _TOO_MANY_BYTES in text:
        return Failure(TooLargeError(text))
    retry_after_s = _read_retry_after(status, call)
    if retry_after_s is None:
        return Failure(OverloadedError(text))
    return Failure(OverloadedError(text, retry_after_s), retry_after_s)


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
    """The details that came along; empty if there are none, or none that can be read."""
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
