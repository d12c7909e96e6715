"""A row on which the model fails, or that it answers outside of the contract, costs its own request alone."""

import asyncio
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from support.answers import probabilities_of
from support.failing import make_core, make_dividing_graph, make_strict_graph
from support.flights import make_flight
from support.reading import finish
from support.serving import ask, watch_champion, watch_columns
from support.tensors import to_request

from athanor.contract.columns import Columns
from athanor.errors import InvalidAnswerError, InvalidRequestError, NotComputableError
from athanor.serving.answering.batching.batcher import Batcher, Computed
from athanor.serving.answering.batching.capacity import Capacity, Share
from athanor.serving.answering.core import Core, read_columns
from athanor.serving.answering.isolation import find_failing
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats import inference_messages
from projects.delays.model import MODEL

_NEW: Final = "ZZ"


@pytest.fixture
def strict(tmp_path: Path) -> Core:
    return make_core(tmp_path, make_strict_graph())


@pytest.fixture
def dividing(tmp_path: Path) -> Core:
    return make_core(tmp_path, make_dividing_graph())


def _ask_all(core: Core, questions: list[Any]) -> list[Computed | BaseException]:
    batcher = Batcher(core, Share(Capacity(1_000)))

    async def work() -> list[Computed | BaseException]:
        asked = (batcher.ask(question, time.monotonic() + 60) for question in questions)
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)

    try:
        return asyncio.run(work())
    finally:
        batcher.share.capacity.threads.close()


def test_only_the_requests_at_fault_fail(strict: Core) -> None:
    bad = {position for position in range(400) if position % 20 == 7}
    found = _ask_all(
        strict,
        [ask(strict, make_flight(carrier=_NEW if n in bad else "UA", distance=1 + n)) for n in range(400)],
    )
    assert {n for n, each in enumerate(found) if isinstance(each, NotComputableError)} == bad
    for n in set(range(400)) - bad:
        computed = found[n]
        assert isinstance(computed, Computed)
        assert probabilities_of(computed.answer) == pytest.approx([1 / (1 + math.exp((999 - n) / 1_000))], abs=1e-6)


@pytest.mark.parametrize("count", [3, 300])
def test_the_error_names_rows_and_columns(strict: Core, count: int) -> None:
    flights = [make_flight() for _ in range(count)]
    flights[1] = make_flight(carrier=_NEW)
    flights[-1] = make_flight(carrier="99")
    (error,) = _ask_all(strict, [ask(strict, *flights)])
    assert isinstance(error, NotComputableError)
    assert isinstance(error, InvalidRequestError)
    assert str(error) == f"the model fails on 2 of {count} rows, which keep the contract"
    assert [(v.field, v.rule) for v in error.violations] == [
        ("flights[1].carrier", "COMPUTABLE"),
        (f"flights[{count - 1}].carrier", "COMPUTABLE"),
    ]
    assert error.violations[0].description == (
        "'ZZ' is valid, but the model fails on it; give a value as in its training"
    )


def test_the_error_names_the_value_as_its_door_does(strict: Core) -> None:
    columns = read_columns([ask(strict, make_flight(), make_flight(carrier=_NEW))], MODEL.contract)
    request = to_request(dict(columns), raw=True)
    (error,) = strict.answer_together(
        [finish(inference_messages.read(strict.interface, request.SerializeToString(), "")).question]
    )
    assert isinstance(error, NotComputableError)
    assert [v.field for v in error.violations] == ["inputs.carrier[1]"]


def test_a_missing_value_is_named_as_such(strict: Core) -> None:
    def check(columns: Columns) -> None:
        if np.isnan(columns["temperature"]).any():
            raise ZeroDivisionError

    champion = strict.traffic.champion.predictor
    champion.example = {**champion.example, "temperature": np.array([39.0])}
    watch_columns(strict, check)
    (error,) = strict.answer_together([ask(strict, make_flight(temperature=None))])
    assert isinstance(error, NotComputableError)
    assert [v.field for v in error.violations] == ["flights[0].temperature"]
    assert error.violations[0].description.startswith("a missing value is valid, but the model fails on it")


def test_rows_are_named_up_to_a_limit(strict: Core) -> None:
    flights = [make_flight(carrier=_NEW)] * 10_000
    runs: list[int] = []
    watch_champion(strict, runs.append)
    (error,) = _ask_all(strict, [ask(strict, *flights)])
    assert isinstance(error, NotComputableError)
    assert str(error).startswith("the model fails on at least 32 of 10000 rows")
    assert [v.field for v in error.violations] == [f"flights[{row}].carrier" for row in range(32)]
    assert len(runs) < 1_000


def test_values_that_fail_only_together_name_the_row(strict: Core) -> None:
    def check(columns: Columns) -> None:
        if np.any((columns["carrier"] == "UA") & (columns["origin"] == "LGA")):
            raise ZeroDivisionError

    watch_columns(strict, check)
    good, bad = make_flight(carrier="UA", origin="JFK"), make_flight(carrier="UA", origin="LGA")
    example = dict(strict.traffic.champion.predictor.example)
    example["carrier"], example["origin"] = (np.array([text], dtype=object) for text in ("AA", "JFK"))
    strict.traffic.champion.predictor.example = example
    answer, error = strict.answer_together([ask(strict, good), ask(strict, good, bad)])
    assert isinstance(answer, Answer)
    assert isinstance(error, NotComputableError)
    assert [(v.field, v.rule) for v in error.violations] == [("flights[1]", "COMPUTABLE")]


@pytest.mark.parametrize("failure", [ZeroDivisionError(), KeyError("ZZ"), StopIteration()])
def test_a_model_that_fails_on_a_value_fails_its_request_alone(strict: Core, failure: Exception) -> None:
    def check(columns: Columns) -> None:
        if np.any(columns["distance"] == 4_000):
            raise failure

    watch_columns(strict, check)
    questions = [ask(strict, make_flight(distance=distance)) for distance in (100, 4_000, 200)]
    questions.append(ask(strict, *[make_flight(distance=300)] * 300, make_flight(distance=4_000)))
    first, bad, second, large = _ask_all(strict, questions)
    assert isinstance(first, Computed)
    assert isinstance(second, Computed)
    assert isinstance(bad, NotComputableError)
    assert [v.field for v in bad.violations] == ["flights[0].distance"]
    assert isinstance(large, NotComputableError)
    assert [v.field for v in large.violations] == ["flights[300].distance"]


def test_a_failure_that_a_future_refuses_reaches_every_caller(strict: Core) -> None:
    def fail(columns: Columns) -> None:
        raise StopIteration

    watch_columns(strict, fail)
    found = _ask_all(strict, [ask(strict, *[make_flight()] * rows) for rows in (1, 1, 300)])
    assert [type(each) for each in found] == [RuntimeError] * 3


def test_the_event_loop_turns_while_the_requests_at_fault_are_found(strict: Core) -> None:
    """The model waits, off the loop, until the loop has turned."""
    failed, turned = [False], [False]

    def wait(rows: int) -> None:
        if failed[0]:
            for _ in range(60_000):
                if turned[0]:
                    return
                time.sleep(0.001)
            raise AssertionError("the event loop stands still")
        failed[0] = True
        raise ZeroDivisionError

    watch_champion(strict, wait)
    batcher = Batcher(strict, Share(Capacity(8)))

    async def turn() -> None:
        while not failed[0]:
            await asyncio.sleep(0)
        turned[0] = True

    async def work() -> Any:
        asked = (batcher.ask(ask(strict), time.monotonic() + 60) for _ in range(2))
        return await asyncio.gather(turn(), *asked)

    assert [type(each) for each in asyncio.run(asyncio.wait_for(work(), 60))[1:]] == [Computed] * 2
    batcher.share.capacity.threads.close()


def test_a_caller_that_goes_away_meanwhile_affects_no_other(strict: Core) -> None:
    batcher = Batcher(strict, Share(Capacity(8)))

    async def work() -> Any:
        asked = [
            asyncio.create_task(batcher.ask(ask(strict, make_flight(carrier=carrier)), time.monotonic() + 60))
            for carrier in ("UA", _NEW, "UA")
        ]
        watch_champion(strict, lambda rows: loop.call_soon_threadsafe(asked[0].cancel))
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(asyncio.wait_for(work(), 60))
    assert [type(each) for each in found] == [asyncio.CancelledError, NotComputableError, Computed]
    batcher.share.capacity.threads.close()


@pytest.mark.parametrize(("distance", "rule"), [(4_000, "REQUIRED"), (5_000, "FINITE"), (5_001, "FINITE")])
@pytest.mark.parametrize("rows", [1, 300])
def test_an_answer_that_breaks_the_contract_is_an_error_of_its_request(
    dividing: Core, distance: int, rule: str, rows: int
) -> None:
    good = [make_flight(distance=100)] * rows
    found = _ask_all(dividing, [ask(dividing, *good), ask(dividing, *good, make_flight(distance=distance))])
    assert isinstance(found[0], Computed)
    error = found[1]
    assert isinstance(error, InvalidAnswerError)
    assert str(error) == f"the answers of 1.0.0 to 1 of {rows + 1} rows break the contract"
    assert [(v.field, v.rule) for v in error.violations] == [(f"flights[{rows}]", rule)]
    assert "a number from 0 to 1" in error.violations[0].description


def test_the_contract_s_own_range_holds(dividing: Core) -> None:
    contract = replace(MODEL.contract, answer=(replace(MODEL.contract.prediction, maximum=0.5),))
    dividing.traffic.champion.predictor.contract = contract
    low, high = dividing.answer_together([ask(dividing, make_flight(distance=d)) for d in (100, 3_000)])
    assert isinstance(low, Answer)
    assert isinstance(high, InvalidAnswerError)
    assert [v.rule for v in high.violations] == ["MAXIMUM"]


@pytest.mark.parametrize("bad", [set(), {0}, {99}, {3, 4, 50}, set(range(100))])
def test_positions_that_fail_are_found_in_few_runs(bad: set[int]) -> None:
    runs: list[slice] = []

    def run(rows: slice) -> None:
        runs.append(rows)
        if bad & set(range(100)[rows]):
            raise ZeroDivisionError

    assert find_failing(run, 100, 5) == sorted(bad)[:5]
    assert len(runs) <= 1 + 2 * 7 * min(len(bad), 5)
