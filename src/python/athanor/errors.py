"""Every error that Athanor raises on purpose.

    AthanorError                 exit status 1
    ├── AbandonedError           a request whose caller went away before it was answered
    ├── InputError               exit status 2: what came in is wrong, and whoever sent it can mend it
    │   ├── ContractError        a .proto file or a table's columns do not make a contract
    │   ├── DataError            a dataset breaks the contract beyond its budgets
    │   ├── InvalidRequestError  rows of a request break the contract
    │   ├── ModelNotFoundError   a model or version that is not served
    │   ├── NotFoundError        a project, snapshot or release that does not exist
    │   ├── ReleaseError         a release that is corrupted, tampered with or not whole
    │   ├── PermissionDeniedError    a token that may not do what it was sent for
    │   ├── SettingsError        a setting that cannot be
    │   ├── TooLargeError        a request with more rows or bytes than are allowed
    │   └── UnauthenticatedError     no token, or none that is known
    ├── ConflictError            somebody else wrote meanwhile; nothing was committed
    ├── DeadlineExceededError    a request whose time was over before it was answered
    ├── GateError                exit status 3: a gate said no
    ├── OverloadedError          a service that has more requests than it may hold; says when to ask again
    └── ServiceError             a service did not start, stop or answer

`code` is stable and for machines; the text is for people: what, where, the value, the allowed, the remedy.
Doors map these to gRPC and HTTP codes; nothing here knows of either. Each survives pickling, as Ray needs.
"""

from dataclasses import dataclass
from typing import ClassVar


class AthanorError(Exception):
    """Base of all. `args` holds exactly the constructor's arguments, so that pickling calls it with them again."""

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
    """One rule that one value of a request breaks.

    Attributes:
        field: path in the request, as protobuf names it: `flights[3].distance`.
        rule: stable code of the rule, as `athanor.contract.Rule` names it.
        description: what is wrong, with the value and what is allowed.
    """

    field: str
    rule: str
    description: str


class InvalidRequestError(InputError):
    code = "INVALID_REQUEST"

    def __init__(self, message: str, violations: tuple[FieldViolation, ...] = ()) -> None:
        super().__init__(message, violations)
        self.violations = violations


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


class ConflictError(AthanorError):
    code = "CONFLICT"


class DeadlineExceededError(AthanorError):
    code = "DEADLINE_EXCEEDED"


class GateError(AthanorError):
    code = "GATE_FAILED"
    exit_status = 3


class OverloadedError(AthanorError):
    code = "OVERLOADED"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s


class ServiceError(AthanorError):
    code = "SERVICE_FAILED"
