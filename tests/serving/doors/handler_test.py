"""What every request passes: the order of its checks, its time-out, and what it holds meanwhile."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from support.handlers import OpenHandler, open_handler
from support.serving import FIRST, SECOND, Stage, ask

from athanor.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
    ServiceError,
    TooLargeError,
    UnauthenticatedError,
)
from athanor.serving.answering.core import Core
from athanor.serving.doors.handler import TIMEOUT, Call, Exchange

_DOORS: Final = ("grpc", "oip-grpc", "rest", "oip-rest", "inspection")


@pytest.fixture
def guarded(core: Core, tmp_path: Path) -> Iterator[OpenHandler]:
    with open_handler(core, tmp_path / "guarded", insecure=False) as opened:
        yield opened


def _call(**headers: str) -> Call:
    return Call.read("rest", {name.replace("_", "-"): value for name, value in headers.items()})


def _handle(opened: OpenHandler, call: Call, *steps: Callable[[Exchange], object]) -> None:
    with opened.handler.admit(call, opened.model.name) as exchange:
        for step in steps:
            step(exchange)


def _fail(error: BaseException) -> Callable[[Exchange], object]:
    def fail(exchange: Exchange) -> None:
        raise error

    return fail


def _receive(size_bytes: int) -> Callable[[Exchange], object]:
    return lambda exchange: exchange.receive(size_bytes)


def _variants(core: Core, folder: Path, *calls: Call) -> list[str]:
    """Who answers the same row, for each call."""
    found = []
    with open_handler(core, folder) as opened:
        for call in calls:
            with opened.handler.admit(call, opened.model.name) as exchange:
                asked = replace(ask(core), sticky_key=call.sticky_key)
                found.append(asyncio.run(exchange.answer(asked)).variant.name)
    return found


def test_a_key_that_cannot_tell_callers_apart_gives_way_to_the_request_id(stage: Stage, tmp_path: Path) -> None:
    stage.direct(FIRST, SECOND, 0.5)
    core = stage.core()
    calls = [_call(x_request_id=str(number)) for number in range(200)]
    # One key, one side.
    assert len(set(_variants(core, tmp_path / "by_key", *calls))) == 1
    core.interface.sticks_by_request_id = True
    by_id = _variants(core, tmp_path / "by_id", *calls)
    assert 60 < by_id.count("challenger") < 140
    assert _variants(core, tmp_path / "again", *calls) == by_id
    kept = [_call(x_request_id=str(number), x_athanor_sticky_key="a caller") for number in range(20)]
    assert len(set(_variants(core, tmp_path / "by_header", *kept))) == 1


@pytest.mark.parametrize("door", _DOORS)
@pytest.mark.parametrize(
    ("header", "remaining_s", "expected_s"),
    [(None, None, 30), ("5", None, 5), ("60", None, 30), (None, 4, 4), ("5", 4, 4), ("3", 4, 3), (None, 60, 30)],
)
def test_the_shortest_time_out_counts_at_every_door(
    door: str, header: str | None, remaining_s: float | None, expected_s: float
) -> None:
    headers = {} if header is None else {TIMEOUT: header}
    assert Call.read(door, headers, remaining_s).timeout_s(30) == expected_s


@pytest.mark.parametrize("given", ["", "x", "0", "-1", "nan", "inf"])
def test_an_invalid_time_out_is_refused_with_its_value(given: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Call.read("grpc", {TIMEOUT: given}).timeout_s(30)
    assert str(caught.value) == f"x-request-timeout-s is {given!r}; give seconds above 0"


def test_a_caller_without_a_token_learns_nothing_about_its_request(guarded: OpenHandler) -> None:
    for call in (_call(), _call(x_request_timeout_s="x"), _call(authorization="Bearer athn_x")):
        with pytest.raises(UnauthenticatedError):
            _handle(guarded, call, _fail(AssertionError("the request was read")))
    assert 'code="UNAUTHENTICATED"' in guarded.metrics()


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), KeyError("secret"), MemoryError("secret")])
def test_an_unexpected_error_leaves_as_a_failure_without_its_text(opened: OpenHandler, error: Exception) -> None:
    with pytest.raises(ServiceError) as caught:
        _handle(opened, _call(x_request_id="mine"), _fail(error))
    assert str(caught.value) == "the service failed at request mine; its log has the cause"
    assert caught.value.__cause__ is error


def test_a_cancelled_request_is_recorded_as_abandoned(opened: OpenHandler) -> None:
    with pytest.raises(asyncio.CancelledError):
        _handle(opened, _call(), _receive(10), _fail(asyncio.CancelledError()))
    assert 'code="ABANDONED"' in opened.metrics()
    assert opened.held == 0


def test_bytes_are_held_until_the_request_ends(opened: OpenHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.handler.models.capacity.bytes.limit = 25_000
    handler = opened.handler
    with handler.admit(_call(), opened.model.name) as first:
        first.receive(15_000)
        with pytest.raises(OverloadedError):
            _handle(opened, _call(), _receive(9_000), _receive(9_000))
        assert opened.handler.models.capacity.bytes.held == 15_000
        asyncio.run(first.answer(ask(opened.model.core)))
    assert opened.held == 0


def test_a_request_of_too_many_bytes_is_refused(opened: OpenHandler) -> None:
    with pytest.raises(TooLargeError, match="more than 20000 bytes"):
        _handle(opened, _call(), _receive(20_000), _receive(1))


def test_the_deadline_counts_from_the_arrival(opened: OpenHandler) -> None:
    question = ask(opened.model.core)
    with pytest.raises(DeadlineExceededError):
        _handle(
            opened,
            _call(x_request_timeout_s="0.01"),
            lambda exchange: time.sleep(0.02),
            lambda exchange: asyncio.run(exchange.answer(question)),
        )
