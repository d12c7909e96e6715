"""Errors reach whoever must act on them, whole: through exit statuses, through pickling, in words."""

import pickle
from collections.abc import Iterator

import pytest

from athanor import errors
from athanor.errors import AthanorError, FieldViolation, GateError, InputError, InvalidRequestError


def _find_kinds(kind: type[AthanorError]) -> Iterator[type[AthanorError]]:
    yield kind
    for further in kind.__subclasses__():
        yield from _find_kinds(further)


_KINDS = tuple(_find_kinds(AthanorError))
_VIOLATIONS = (FieldViolation("flights[3].distance", "MAXIMUM", "7000 is too far"),)


def test_every_error_stands_in_the_one_file_and_in_the_tree_at_its_top() -> None:
    assert {kind.__module__ for kind in _KINDS} == {errors.__name__}
    assert all(f"{kind.__name__} " in (errors.__doc__ or "") for kind in _KINDS)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in _KINDS]
    assert len(set(codes)) == len(codes)
    assert all(code == code.upper() and code.replace("_", "").isalpha() for code in codes)


@pytest.mark.parametrize("kind", _KINDS)
def test_the_exit_status_says_who_can_mend_it(kind: type[AthanorError]) -> None:
    expected = 2 if issubclass(kind, InputError) else 3 if issubclass(kind, GateError) else 1
    assert kind.exit_status == expected


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[AthanorError], protocol: int) -> None:
    back = pickle.loads(pickle.dumps(kind("what went wrong"), protocol))  # noqa: S301 - our own bytes
    assert type(back) is kind
    assert str(back) == "what went wrong"
    assert (back.code, back.exit_status) == (kind.code, kind.exit_status)


def test_violations_survive_pickling() -> None:
    error = InvalidRequestError("one value breaks the contract", _VIOLATIONS)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert back.violations == _VIOLATIONS
    assert back.args == error.args
    assert str(back) == "one value breaks the contract"


def test_a_request_can_be_wrong_as_a_whole() -> None:
    assert InvalidRequestError("the bytes are no request").violations == ()


def test_an_error_without_words_says_its_code() -> None:
    kinds = [kind for kind in _KINDS if kind.__init__ is AthanorError.__init__]
    assert [str(kind()) for kind in kinds] == [kind.code for kind in kinds]
