"""gRPC code and HTTP status of each error: what the service sends, and what the client reads back.

gRPC codes are names of `grpc.StatusCode`, so that this module needs no gRPC.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from athanor.errors import (
    AbandonedError,
    AthanorError,
    ConflictError,
    ContractError,
    DataError,
    DeadlineExceededError,
    GateError,
    InputError,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ReleaseError,
    ServiceError,
    SettingsError,
    TooLargeError,
    UnauthenticatedError,
)

# `google.rpc.ErrorInfo` carries an error's code as its reason, within this domain.
DOMAIN: Final = "athanor"


class Status(NamedTuple):
    grpc: str
    http: int


# Without a reason, as from a proxy, a gRPC code means the first error that has it.
STATUSES: Final[Mapping[type[AthanorError], Status]] = {
    InvalidRequestError: Status("INVALID_ARGUMENT", 400),
    ContractError: Status("INVALID_ARGUMENT", 400),
    TooLargeError: Status("INVALID_ARGUMENT", 413),
    UnauthenticatedError: Status("UNAUTHENTICATED", 401),
    PermissionDeniedError: Status("PERMISSION_DENIED", 403),
    ModelNotFoundError: Status("NOT_FOUND", 404),
    NotFoundError: Status("NOT_FOUND", 404),
    OverloadedError: Status("RESOURCE_EXHAUSTED", 429),
    AbandonedError: Status("CANCELLED", 499),
    DeadlineExceededError: Status("DEADLINE_EXCEEDED", 504),
    ServiceError: Status("INTERNAL", 500),
    # A service that fails by one of these is at fault, not its caller.
    ConflictError: Status("INTERNAL", 500),
    DataError: Status("INTERNAL", 500),
    GateError: Status("INTERNAL", 500),
    ReleaseError: Status("INTERNAL", 500),
    SettingsError: Status("INTERNAL", 500),
    InputError: Status("INTERNAL", 500),
    AthanorError: Status("INTERNAL", 500),
}

_BY_REASON: Final = {kind.code: kind for kind in STATUSES}
_BY_GRPC_CODE: Final = {status.grpc: kind for kind, status in reversed(STATUSES.items())}


def find_status(error: AthanorError) -> Status:
    """Status of an error's class, or of the nearest base class that the table lists."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def find_by_reason(reason: str) -> type[AthanorError] | None:
    return _BY_REASON.get(reason)


def find_by_grpc_code(name: str) -> type[AthanorError]:
    return _BY_GRPC_CODE.get(name, ServiceError)
