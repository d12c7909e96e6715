"""Many rows in several requests: order, requests in flight, refusals; for both clients."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, TypeAlias

import grpc
import pytest
from client.scripted import QUICK, ScriptedService, bad_request, echo, fail, fail_times, refuse_short_flights
from support.flights import make_flight

from athanor.client.aio import AsyncClient
from athanor.client.batches import Predicted, Refused
from athanor.client.client import Client, connect
from athanor.client.files.refusals import find_all_violations
from athanor.errors import FieldViolation, InvalidRequestError, ServiceError, SettingsError
from delays.v1 import delays_pb2

Many: TypeAlias = Callable[..., list[Predicted]]


def _ask(target: str, rows: Iterable[Any], **options: Any) -> list[Predicted]:
    with connect(target, retry=QUICK) as connection:
        return list(Client("delays", connection).predict_many(rows, **options))


def _ask_async(target: str, rows: Iterable[Any], **options: Any) -> list[Predicted]:
    async def ask() -> list[Predicted]:
        async with connect(target, retry=QUICK) as connection:
            client = AsyncClient("delays", connection)
            return [predicted async for predicted in client.predict_many(rows, **options)]

    return asyncio.run(ask())


@pytest.fixture(params=[_ask, _ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest, target: str) -> Many:
    return lambda rows, **options: request.param(target, rows, **options)


def _flights(count: int, short: Iterable[int] = ()) -> list[delays_pb2.Flight]:
    """Flights numbered by position; the ones in `short` break the contract."""
    return [make_flight(flight_number=i, distance=0.5 if i in set(short) else 100.0) for i in range(count)]


def _hold_first(service: ScriptedService) -> None:
    """The first request is answered after the others in flight."""
    others = threading.Event()

    def answer(request: Any, context: Any) -> Any:
        # In any order: the third to arrive.
        if service.asked >= 3:
            others.set()
        if request.flights[0].flight_number == 0:
            others.wait(60)
        return echo(request, context)

    service.answer = answer


def test_predictions_come_in_the_order_of_the_rows(ask: Many, service: ScriptedService) -> None:
    _hold_first(service)
    found = ask(_flights(25), batch_rows=4, in_flight=3)
    assert [predicted.row for predicted in found] == list(range(25))
    assert [predicted.prediction.late_probability for predicted in found] == [i / 10_000 for i in range(25)]
    assert service.asked == 7


def test_a_prediction_names_the_release_that_answered(ask: Many) -> None:
    by = ask(_flights(1), semantic_version="3.0.0")[0].answered_by
    assert (by.model_name, by.semantic_version, by.variant) == ("delays", "3.0.0", "champion")
    assert by.release_digest == "d" * 64
    assert by.request_id == "made by the server"


def test_no_rows_send_nothing(ask: Many, service: ScriptedService) -> None:
    assert ask([]) == []
    assert service.asked == 0


@pytest.mark.parametrize("in_flight", [1, 3])
def test_requests_in_flight_are_limited(ask: Many, service: ScriptedService, in_flight: int) -> None:
    full = threading.Barrier(in_flight)

    def answer(request: Any, context: Any) -> Any:
        full.wait(60)
        return echo(request, context)

    service.answer = answer
    assert len(ask(_flights(6), batch_rows=1, in_flight=in_flight)) == 6
    assert service.most_at_once == in_flight


def test_rows_are_taken_only_as_needed(client: Client) -> None:
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield make_flight(flight_number=1)

    answers = client.predict_many(endless(), batch_rows=10, in_flight=3)
    for _ in range(100):
        next(answers)
    assert taken <= 100 + (3 + 1) * 10
    answers.close()  # type: ignore[attr-defined]  # it is a generator


def test_rows_may_come_asynchronously(target: str) -> None:
    async def rows() -> AsyncIterator[Any]:
        for flight in _flights(5):
            await asyncio.sleep(0)
            yield flight

    async def ask() -> list[int]:
        async with connect(target) as connection:
            client = AsyncClient("delays", connection)
            return [predicted.row async for predicted in client.predict_many(rows(), batch_rows=2)]

    assert asyncio.run(ask()) == [0, 1, 2, 3, 4]


def test_a_caller_that_stops_early_does_not_wait(client: Client, service: ScriptedService) -> None:
    held = threading.Event()

    def answer(request: Any, context: Any) -> Any:
        if request.flights[0].flight_number:
            held.wait(60)
        return echo(request, context)

    service.answer = answer
    answers = client.predict_many(_flights(10), batch_rows=1, in_flight=2)
    assert next(answers).row == 0
    answers.close()  # type: ignore[attr-defined]  # it is a generator
    assert not held.is_set()
    held.set()


def test_each_request_is_retried(ask: Many, service: ScriptedService) -> None:
    service.answer = fail_times(4, fail(grpc.StatusCode.UNAVAILABLE, "starting"))
    assert [predicted.row for predicted in ask(_flights(9), batch_rows=3, in_flight=3)] == list(range(9))
    assert service.asked == 3 + 4


def test_a_refusal_names_rows_by_position_among_all(ask: Many, service: ScriptedService) -> None:
    service.answer = refuse_short_flights()
    with pytest.raises(InvalidRequestError, match="2 values are wrong") as caught:
        ask(_flights(30, short=[21, 23]), batch_rows=10)
    assert [violation.field for violation in caught.value.violations] == [
        "flights[21].distance",
        "flights[23].distance",
    ]
    assert caught.value.violations[0].description == "flights[21].distance is too short"


def test_with_on_refused_all_other_rows_are_predicted(ask: Many, service: ScriptedService) -> None:
    service.answer = refuse_short_flights()
    refused: list[Refused] = []
    found = ask(_flights(30, short=[3, 25]), batch_rows=10, on_refused=refused.append)
    assert [predicted.row for predicted in found] == list(range(10, 20))
    assert [one.first for one in refused] == [0, 20]
    assert [one.error.violations[0].field for one in refused] == ["flights[3].distance", "flights[25].distance"]


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_all_violations_are_found_however_few_a_response_can_hold(
    client: Client, service: ScriptedService, most: int
) -> None:
    short = [10, 11, 14, 17, 18, 19]
    service.answer = refuse_short_flights(most)
    refused: list[Refused] = []
    list(client.predict_many(_flights(20, short), batch_rows=10, on_refused=refused.append))
    (one,) = refused
    found = find_all_violations(one, client.predict)
    assert [violation.field for violation in found] == [f"flights[{row}].distance" for row in short]


def test_a_violation_of_the_whole_request_is_kept(client: Client, service: ScriptedService) -> None:
    whole = FieldViolation("flights", "REQUIRED", "flights is empty")
    service.answer = fail(grpc.StatusCode.INVALID_ARGUMENT, "empty", bad_request(whole))
    refused: list[Refused] = []
    list(client.predict_many(_flights(2), on_refused=refused.append))
    assert find_all_violations(refused[0], client.predict) == (whole,)


def test_any_other_failure_ends_the_iteration(ask: Many, service: ScriptedService) -> None:
    service.answer = fail(grpc.StatusCode.INTERNAL, "it broke")
    with pytest.raises(ServiceError, match="it broke"):
        ask(_flights(10), batch_rows=2, on_refused=lambda refused: None)


def test_a_response_with_the_wrong_number_of_predictions_is_refused(ask: Many, service: ScriptedService) -> None:
    service.answer = lambda request, context: delays_pb2.PredictResponse()
    with pytest.raises(ServiceError, match="answered 3 rows with 0 predictions"):
        ask(_flights(3))


@pytest.mark.parametrize("name", ["batch_rows", "in_flight"])
def test_numbers_below_one_are_refused(ask: Many, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 0; give a whole number of at least 1"):
        ask(_flights(1), **{name: 0})


def test_both_clients_return_and_count_the_same(target: str, service: ScriptedService) -> None:
    async def ask() -> tuple[Any, int]:
        async with connect(target, retry=QUICK) as connection:
            client = AsyncClient("delays", connection)
            return await client.predict(_flights(3), request_id="one", sticky_key="k"), client.retries

    service.answer = fail_times(2, fail(grpc.StatusCode.UNAVAILABLE, "starting"))
    answered, retries = asyncio.run(ask())
    service.answer = fail_times(2, fail(grpc.StatusCode.UNAVAILABLE, "starting"))
    with connect(target, retry=QUICK) as connection:
        client = Client("delays", connection)
        assert client.predict(_flights(3), request_id="one", sticky_key="k") == answered
        assert client.retries == retries == 2


def test_both_clients_have_the_same_methods() -> None:
    assert {name for name in dir(Client) if not name.startswith("_")} == {
        name for name in dir(AsyncClient) if not name.startswith("_")
    }


def test_a_cancelled_task_cancels_its_call(target: str, service: ScriptedService) -> None:
    asked, ended = threading.Event(), threading.Event()

    def answer(request: Any, context: Any) -> Any:
        context.add_callback(ended.set)
        asked.set()
        ended.wait(60)
        return echo(request, context)

    async def ask() -> None:
        async with connect(target) as connection:
            task = asyncio.create_task(AsyncClient("delays", connection).predict(_flights(1)))
            await asyncio.to_thread(asked.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    service.answer = answer
    asyncio.run(ask())
    assert ended.wait(60)
