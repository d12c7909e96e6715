"""Whether a contract's key can tell callers apart, and how that is said."""

from collections.abc import Callable

import pytest
from support.protos import Toy, make_field

from athanor.contract.assignment import describe_assignment, tells_callers_apart
from athanor.contract.v1 import options_pb2
from projects.delays.model import MODEL

_KEY = options_pb2.ROLE_KEY


def _with_key(kind: str, **options: object) -> Toy:
    """Whose key is one column."""
    toy = Toy()
    toy.remove("id")
    toy.row.field.append(make_field("key", 8, kind, description="Which one", roles=[_KEY], **options))
    return toy


def _add(toy: Toy, **options: object) -> Toy:
    toy.row.field.append(make_field("other", 9, "string", description="Which one", roles=[_KEY], **options))
    return toy


_REGIONS = ["north", "south", "west"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: _with_key("string"), True),
        (lambda: _with_key("string", pattern="[A-Z]"), True),
        (lambda: _with_key("string", pattern="EU"), False),
        (lambda: _with_key("string", categories=_REGIONS), False),
        (lambda: _with_key("string", categories=[str(number) for number in range(100)]), True),
        (lambda: _with_key("bool"), False),
        (lambda: _with_key("int32"), True),
        (lambda: _with_key("int32", minimum=1, maximum=1), False),
        (lambda: _with_key("int32", minimum=1, maximum=99), False),
        (lambda: _with_key("uint32", maximum=99), True),
        (lambda: _with_key("double", minimum=1, maximum=2), True),
        (lambda: _with_key("float", minimum=0.3, maximum=0.30000001), False),
        (lambda: _with_key(".google.protobuf.Timestamp"), True),
        (lambda: _add(_with_key("int32", minimum=1, maximum=40), categories=_REGIONS), True),
        (lambda: _add(_with_key("int32", minimum=1, maximum=30), categories=_REGIONS), False),
        (lambda: _add(_with_key("bool")), True),
    ],
)
def test_a_key_of_a_hundred_values_tells_callers_apart(make: Callable[[], Toy], expected: bool) -> None:
    assert tells_callers_apart(make().read().wire) is expected


def test_a_person_reads_how_requests_are_assigned() -> None:
    said = describe_assignment(MODEL.contract.wire)
    assert "by the header x-athanor-sticky-key, or else by scheduled_departure, carrier, flight_number of" in said
    assert "if callers send one constant key, all of them do" in said


def test_a_person_reads_that_a_key_is_too_coarse() -> None:
    said = describe_assignment(_with_key("string", categories=_REGIONS).read().wire)
    assert said.startswith("The key, key, has 3 possible values and cannot tell callers apart.")
    assert "or else by its id, x-request-id" in said
