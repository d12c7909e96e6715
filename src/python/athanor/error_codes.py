"""gRPC code and HTTP status of each error: what the service sends, and what the client reads back.

gRPC codes are names of `grpc.StatusCode`, so that this module needs no gRPC.
"""

from typing import Final, NamedTuple

from athanor import errors
from athanor.errors import AthanorError

# `google.rpc.ErrorInfo` carries an error's code as its reason, within this domain.
DOMAIN: Final = "athanor"


class Status(NamedTuple):
    grpc: str
    http: int


STATUSES: Final[dict[type[AthanorError], Status]] = {
    errors.InvalidRequestError: Status("INVALID_ARGUMENT", 400),
    # Not a 5xx: every replica would fail on the same rows, so neither a retry nor another replica helps.
    errors.NotComputableError: Status("INVALID_ARGUMENT", 400),
    errors.ContractError: Status("INVALID_ARGUMENT", 400),
    errors.TooLargeError: Status("INVALID_ARGUMENT", 413),
    errors.UnsupportedEncodingError: Status("INVALID_ARGUMENT", 415),
    errors.UnauthenticatedError: Status("UNAUTHENTICATED", 401),
    errors.PermissionDeniedError: Status("PERMISSION_DENIED", 403),
    errors.ModelNotFoundError: Status("NOT_FOUND", 404),
    errors.NotFoundError: Status("NOT_FOUND", 404),
    errors.ConflictError: Status("FAILED_PRECONDITION", 409),
    errors.OverloadedError: Status("RESOURCE_EXHAUSTED", 429),
    errors.AbandonedError: Status("CANCELLED", 499),
    errors.DeadlineExceededError: Status("DEADLINE_EXCEEDED", 504),
    errors.ServiceError: Status("INTERNAL", 500),
    # The caller's rows are valid: the model is at fault.
    errors.InvalidAnswerError: Status("INTERNAL", 500),
    # A service that fails by one of these is at fault, not its caller.
    errors.DataError: Status("INTERNAL", 500),
    errors.GateError: Status("INTERNAL", 500),
    errors.ReleaseError: Status("INTERNAL", 500),
    errors.SettingsError: Status("INTERNAL", 500),
    errors.StorageError: Status("INTERNAL", 500),
    errors.InputError: Status("INTERNAL", 500),
    AthanorError: Status("INTERNAL", 500),
}

BY_REASON: Final = {kind.code: kind for kind in STATUSES}
# Without a reason, as from a proxy, a gRPC code means the first error that has it.
BY_GRPC_CODE: Final = {status.grpc: kind for kind, status in reversed(STATUSES.items())}


def find_status(error: AthanorError) -> Status:
    """Status of an error's class, or of the nearest base class that the table lists."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
