"""Retries: how many, how long, how they are counted, and what they survive."""

import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import grpc
import pytest
from client.scripted import IMPATIENT, QUICK, ScriptedService, echo, fail, fail_times, serving
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from support.flights import make_flight

from athanor.client.client import Client, connect
from athanor.client.connection.failures import Failure
from athanor.client.connection.retries import Attempts, RetryCount, RetryPolicy
from athanor.errors import OverloadedError, ServiceError, SettingsError

_AWAY: Final = fail(grpc.StatusCode.UNAVAILABLE, "starting")


def _overload(seconds: float) -> error_details_pb2.RetryInfo:
    return error_details_pb2.RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9)))


def test_calls_of_an_unavailable_service_are_retried_and_counted(client: Client, service: ScriptedService) -> None:
    service.answer = fail_times(3, _AWAY)
    assert len(client.predict([make_flight()], request_id="same").predictions) == 1
    assert (service.asked, client.retries) == (4, 3)
    assert {metadata["x-request-id"] for metadata in service.metadata} == {"same"}


def test_retries_end_when_patience_is_over(target: str, service: ScriptedService) -> None:
    with connect(target, retry=IMPATIENT) as connection:
        client = Client("delays", connection)
        client.predict([make_flight()])
        service.answer = _AWAY
        with pytest.raises(ServiceError, match=r"UNAVAILABLE: starting; gave up after \d+ attempts in \d+\.\d s"):
            client.predict([make_flight()])
    assert service.asked == client.retries + 2 > 3


def test_without_patience_there_is_one_attempt(target: str, service: ScriptedService) -> None:
    service.answer = _AWAY
    with connect(target, retry=RetryPolicy(patience_s=0)) as connection:
        client = Client("delays", connection)
        with pytest.raises(ServiceError, match=r"UNAVAILABLE: starting$"):
            client.predict([make_flight()])
    assert (service.asked, client.retries) == (1, 0)


def test_one_deadline_covers_all_attempts(target: str, service: ScriptedService) -> None:
    policy = RetryPolicy(first_s=0.05, factor=1, patience_s=100)
    with connect(target, retry=policy) as connection:
        client = Client("delays", connection)
        client.predict([make_flight()])
        service.answer = _AWAY
        began = time.monotonic()
        with pytest.raises(ServiceError, match="UNAVAILABLE"):
            client.predict([make_flight()], timeout_s=1)
        # Far below the patience, however busy the machine is.
        assert time.monotonic() - began < policy.patience_s / 2
    assert service.asked > 2


def test_each_attempt_has_less_time_left(target: str, service: ScriptedService) -> None:
    remaining: list[float] = []

    def answer(request: Any, context: Any) -> Any:
        remaining.append(context.time_remaining())
        return (echo if len(remaining) == 3 else _AWAY)(request, context)

    service.answer = answer
    # gRPC sends the same time again while that is at most 3 % too much.
    with connect(target, retry=RetryPolicy(first_s=0.3, factor=1)) as connection:
        Client("delays", connection).predict([make_flight()], timeout_s=5)
    assert all(later < earlier for earlier, later in pairwise(remaining)), remaining
    assert remaining[0] < 5.5


@pytest.mark.parametrize("by", ["details", "metadata"])
def test_an_overloaded_service_gets_the_time_it_asks_for(client: Client, service: ScriptedService, by: str) -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    overload = (
        fail(code, "full", _overload(0.3))
        if by == "details"
        else fail(code, "full", metadata=(("retry-after", "0.3"),))
    )
    service.answer = fail_times(1, overload)
    began = time.monotonic()
    client.predict([make_flight()])
    assert time.monotonic() - began >= 0.3
    assert client.retries == 1


def test_an_overload_beyond_patience_is_an_error_with_the_time_to_wait(
    client: Client, service: ScriptedService
) -> None:
    service.answer = fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "256 requests are in flight", _overload(70.5))
    with pytest.raises(OverloadedError, match="256 requests are in flight") as caught:
        client.predict([make_flight()], timeout_s=60)
    assert caught.value.retry_after_s == 70.5
    assert service.asked == 1


@pytest.mark.parametrize("metadata", [(), (("retry-after", "soon"),), (("retry-after", "nan"),)])
def test_an_overload_without_a_time_is_not_retried(
    client: Client, service: ScriptedService, metadata: tuple[tuple[str, Any], ...]
) -> None:
    service.answer = fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata=metadata)
    with pytest.raises(OverloadedError, match="full"):
        client.predict([make_flight()])
    assert (service.asked, client.retries) == (1, 0)


def test_a_restarted_service_loses_no_call() -> None:
    """The connection breaks, and for a while there is no listener."""
    answers: list[Any] = []
    with serving(ScriptedService()) as port:
        connection = connect(f"127.0.0.1:{port}")
        client = Client("delays", connection)
        client.predict([make_flight()])
    with connection:
        asking = threading.Thread(target=lambda: answers.append(client.predict([make_flight()])))
        asking.start()
        _wait_until(lambda: client.retries >= 2)
        with serving(ScriptedService(), port=port):
            asking.join(60)
    assert len(answers) == 1


def _wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_closing_the_connection_ends_a_wait(target: str, service: ScriptedService) -> None:
    asked = threading.Event()

    def answer(request: Any, context: Any) -> Any:
        asked.set()
        return _AWAY(request, context)

    service.answer = answer
    connection = connect(target, retry=RetryPolicy(first_s=60, longest_s=60, patience_s=1000))
    client = Client("delays", connection)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            client.predict([make_flight()], timeout_s=1000)
        except ServiceError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(60)
    connection.close()
    asking.join(60)
    assert len(errors) == 1


def test_the_default_outlasts_the_start_of_a_replica() -> None:
    assert min(_span(RetryPolicy()) for _ in range(20)) > 12


def _span(policy: RetryPolicy) -> float:
    """Seconds from the first to the last attempt if each fails at once."""
    total = 0.0
    for attempt in range(1, 100):
        delay = policy.delay_s(attempt)
        if total + delay >= policy.patience_s:
            break
        total += delay
    return total


def test_waits_grow_to_the_longest_and_are_scattered() -> None:
    policy = RetryPolicy(first_s=0.1, factor=2, longest_s=1, jitter_ratio=0.2)
    for attempt, middle in enumerate([0.1, 0.2, 0.4, 0.8, 1.0, 1.0], start=1):
        delays = [policy.delay_s(attempt) for _ in range(200)]
        assert 0.8 * middle <= min(delays) < max(delays) <= 1.2 * middle
    assert policy.delay_s(10**9) <= 1.2


@pytest.mark.parametrize(
    "values", [{"first_s": -1}, {"factor": 0.5}, {"patience_s": float("inf")}, {"jitter_ratio": float("nan")}]
)
def test_an_invalid_policy_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(values))} is .*; give a number from"):
        RetryPolicy(**values)


def test_a_permanent_failure_is_raised() -> None:
    count = RetryCount()
    with pytest.raises(ServiceError, match="no"):
        Attempts(QUICK, 1, count).wait_after(Failure(ServiceError("no")))
    assert count.value == 0
