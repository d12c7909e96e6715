"""Every error that Athanor raises deliberately.

    AthanorError                 exit status 1
    ├── AbandonedError           the caller of a request went away before the answer
    ├── InputError               exit status 2: the input is wrong, and its sender can correct it
    │   ├── ContractError        a .proto file, a table or a project declares no valid contract
    │   ├── DataError            a source or dataset is damaged, or breaks its contract beyond the budgets
    │   ├── InvalidRequestError  rows of a request break the contract
    │   │   └── NotComputableError   rows keep the contract, but the model fails on them
    │   ├── ModelNotFoundError   the service does not serve this model or version
    │   ├── NotFoundError        a project, file, snapshot or release does not exist
    │   ├── ReleaseError         a release is damaged, was tampered with or is incomplete
    │   ├── PermissionDeniedError    the token's scope does not allow the request
    │   ├── SettingsError        a setting is invalid
    │   ├── TooLargeError        a request has more rows or bytes than allowed
    │   ├── UnauthenticatedError     a request carries no valid token
    │   └── UnsupportedEncodingError a request is compressed in a way that the service does not read
    ├── ConflictError            another process wrote first, or uses what was to change; nothing was changed
    ├── DeadlineExceededError    the deadline of a request passed before the answer
    ├── GateError                exit status 3: a gate failed
    ├── InvalidAnswerError       the model's answer to rows of a request breaks the contract
    ├── OverloadedError          a service holds as many requests as it may; says when to retry
    ├── ServiceError             a service or database did not start, stop or respond
    └── StorageError             a file or folder cannot be written or read: read-only, full, no permission

`code` is stable, for machines. The text is for people: what, where, the value, what is allowed, the remedy.
`serving.formats.problems` maps errors to gRPC and HTTP statuses; nothing here depends on either. Each error survives
pickling, which Ray needs.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias


class AthanorError(Exception):
    """Base of all. `args` holds exactly the constructor's arguments, so that unpickling can call it again."""

    code: ClassVar[str] = "FAILED"
    exit_status: ClassVar[int] = 1

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.code


class AbandonedError(AthanorError):
    code = "ABANDONED"


class InputError(AthanorError):
    code = "INVALID_INPUT"
    exit_status = 2


class ContractError(InputError):
    code = "INVALID_CONTRACT"


class DataError(InputError):
    code = "INVALID_DATA"


@dataclass(frozen=True)
class FieldViolation:
    """A rule that a value of a request breaks.

    Attributes:
        field: path in the request, as protobuf names it: `flights[3].distance`.
        rule: stable code of the rule, a name of `athanor.contract.validation.Rule`.
        description: what is wrong, the value and what is allowed.
    """

    field: str
    rule: str
    description: str


MOST_VIOLATIONS: Final = 100
"""How many violations a service names in one refusal; it counts the others. A person reads no more at a time, and a
million of them would make a refusal many times as large as its request."""


class InvalidRequestError(InputError):
    """Args: unlisted: how many violations there are beside the listed ones."""

    code = "INVALID_REQUEST"

    def __init__(self, message: str, violations: tuple[FieldViolation, ...] = (), unlisted: int = 0) -> None:
        super().__init__(message, violations, unlisted)
        self.violations = violations
        self.unlisted = unlisted


class NotComputableError(InvalidRequestError):
    code = "NOT_COMPUTABLE"


class ModelNotFoundError(InputError):
    code = "MODEL_NOT_FOUND"


class NotFoundError(InputError):
    code = "NOT_FOUND"


class ReleaseError(InputError):
    code = "INVALID_RELEASE"


class PermissionDeniedError(InputError):
    code = "PERMISSION_DENIED"


class SettingsError(InputError):
    code = "INVALID_SETTING"


class TooLargeError(InputError):
    code = "TOO_LARGE"


class UnauthenticatedError(InputError):
    code = "UNAUTHENTICATED"


class UnsupportedEncodingError(InputError):
    code = "UNSUPPORTED_ENCODING"


class ConflictError(AthanorError):
    code = "CONFLICT"


class DeadlineExceededError(AthanorError):
    code = "DEADLINE_EXCEEDED"


class GateError(AthanorError):
    code = "GATE_FAILED"
    exit_status = 3


class InvalidAnswerError(AthanorError):
    """Args: unlisted: how many violations there are beside the listed ones."""

    code = "INVALID_ANSWER"

    def __init__(self, message: str, violations: tuple[FieldViolation, ...] = (), unlisted: int = 0) -> None:
        super().__init__(message, violations, unlisted)
        self.violations = violations
        self.unlisted = unlisted


class OverloadedError(AthanorError):
    code = "OVERLOADED"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class ServiceError(AthanorError):
    code = "SERVICE_FAILED"


class StorageError(AthanorError):
    code = "STORAGE_FAILED"


RowsError: TypeAlias = InvalidRequestError | InvalidAnswerError
"""An error that names rows of a request, by its violations."""


def violations_of(error: BaseException) -> tuple[FieldViolation, ...]:
    return error.violations if isinstance(error, RowsError) else ()


def unlisted_of(error: BaseException) -> int:
    """How many violations there are beside `violations_of`."""
    return error.unlisted if isinstance(error, RowsError) else 0
