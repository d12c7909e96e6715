"""Each error has one code, one gRPC code and one HTTP status."""

from collections.abc import Iterator

import grpc
import pytest

from athanor import errors
from athanor.error_codes import BY_GRPC_CODE, BY_REASON, STATUSES, find_status
from athanor.errors import AthanorError, DeadlineExceededError, InvalidRequestError, ServiceError


def _find_classes() -> Iterator[type[AthanorError]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, AthanorError):
            yield value


@pytest.mark.parametrize("kind", list(_find_classes()))
def test_every_error_is_in_the_table_and_found_by_its_code(kind: type[AthanorError]) -> None:
    assert find_status(kind("what")) == STATUSES[kind]
    assert BY_REASON[kind.code] is kind


def test_a_derived_error_has_the_status_of_its_base() -> None:
    class DerivedError(DeadlineExceededError): ...

    assert find_status(DerivedError("what")).http == 504


def test_grpc_codes_are_those_of_grpc() -> None:
    assert {status.grpc for status in STATUSES.values()} <= set(grpc.StatusCode.__members__)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("INVALID_ARGUMENT", InvalidRequestError), ("INTERNAL", ServiceError)],
)
def test_a_grpc_code_alone_means_the_first_error_that_has_it(name: str, expected: type[AthanorError]) -> None:
    assert BY_GRPC_CODE[name] is expected
