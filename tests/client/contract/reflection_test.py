"""A client without generated stubs, against services that describe themselves as they should."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import grpc
import pytest
from client.reflecting import V1, V1_ALPHA, Described, Reflect, make_next_major, one_by_one, reflecting
from client.scripted import IMPATIENT, QUICK, ScriptedService, serving
from support.flights import make_flight
from support.protos import Toy

from athanor.client.aio import AsyncClient
from athanor.client.client import Client, connect
from athanor.errors import (
    AthanorError,
    DeadlineExceededError,
    ModelNotFoundError,
    PermissionDeniedError,
    ServiceError,
    UnauthenticatedError,
)
from athanor.serving.formats.problems import to_grpc_code, to_rpc_status
from delays.v1 import delays_pb2
from projects.delays.model import MODEL

_TOY: Final = Toy().read()
_SECRET: Final = "athn_very-secret"  # noqa: S105 - opens nothing

Ask: TypeAlias = Callable[..., Any]


def _ask(target: str, model: str, row: dict[str, Any], timeout_s: float = 60, **options: Any) -> Any:
    with connect(target, **{"retry": QUICK, **options}) as connection:
        client = Client.from_reflection(model, connection, timeout_s)
        return client.predict([client.row_class(**row)])


def _ask_async(target: str, model: str, row: dict[str, Any], timeout_s: float = 60, **options: Any) -> Any:
    async def ask() -> Any:
        async with connect(target, **{"retry": QUICK, **options}) as connection:
            client = await AsyncClient.from_reflection(model, connection, timeout_s)
            return await client.predict([client.row_class(**row)])

    return asyncio.run(ask())


@pytest.fixture(params=[_ask, _ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


@pytest.mark.parametrize("sends_imports", [True, False])
@pytest.mark.parametrize("services", [(V1,), (V1_ALPHA,), (V1, V1_ALPHA)])
def test_a_model_that_no_stubs_know_is_called(ask: Ask, services: Sequence[str], sends_imports: bool) -> None:
    described = Described.of(_TOY, MODEL.contract, sends_imports=sends_imports)
    with reflecting(one_by_one(described.reply), _TOY, services=services) as target:
        response = ask(target, "toy", {"amount": 1.5, "color": "red"})
    assert (len(response.predictions), response.model_name, response.semantic_version) == (1, "toy", "1.0.0")


def test_majors_of_a_project_are_models_of_their_own(ask: Ask) -> None:
    second = make_next_major(MODEL.contract)
    described = Described.of(MODEL.contract, second)
    with reflecting(one_by_one(described.reply), MODEL.contract, second) as target:
        for model, package in (("delays", "delays.v1"), ("delays.v2", "delays.v2")):
            response = ask(target, model, {"distance": 1.0})
            assert response.DESCRIPTOR.file.package == package


def test_stubs_and_reflection_answer_alike(target: str) -> None:
    with connect(target) as connection:
        by_stubs, by_reflection = Client("delays", connection), Client.from_reflection("delays", connection)
        row = by_reflection.row_class.FromString(make_flight(flight_number=1000).SerializeToString())
        found = by_reflection.predict([row], request_id="a", semantic_version="2.1.0")
        expected = by_stubs.predict([make_flight(flight_number=1000)], request_id="a", semantic_version="2.1.0")
        assert found.SerializeToString() == expected.SerializeToString()
        # Read into a pool of its own: another version of the generated messages may be in use.
        assert by_reflection.row_class is not delays_pb2.Flight
        (predicted,) = by_reflection.predict_many([row])
        assert predicted.prediction.late_probability == 0.1


def test_only_the_models_own_files_are_read() -> None:
    described = Described.of(_TOY, MODEL.contract, sends_imports=False)
    with reflecting(one_by_one(described.reply), _TOY) as target:
        _ask(target, "toy", {})
    assert described.asked == [
        "list_services *",
        "file_containing_symbol toy.v1.ToyService",
        "file_by_filename athanor/contract/v1/options.proto",
    ]


def test_each_call_has_the_token(ask: Ask) -> None:
    seen: list[dict[str, Any]] = []
    with reflecting(one_by_one(Described.of(_TOY).reply), _TOY, seen=seen) as target:
        ask(target, "toy", {}, token=_SECRET)
    assert [metadata.get("authorization") for metadata in seen] == [f"Bearer {_SECRET}"] * 2


def _abort(code: grpc.StatusCode, text: str, times: int | None = None, error: AthanorError | None = None) -> Reflect:
    """Refuses the first few calls, or all."""
    left = [times]
    reply = Described.of(_TOY).reply

    def reflect(questions: Iterator[Any], context: Any) -> Iterator[Any]:
        if left[0] == 0:
            yield from map(reply, questions)
            return
        left[0] = left[0] - 1 if left[0] else None
        if error is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", to_rpc_status(error).SerializeToString()),))
        context.abort(code, text)

    return reflect


def test_a_restarting_service_is_asked_again(ask: Ask) -> None:
    with reflecting(_abort(grpc.StatusCode.UNAVAILABLE, "starting", times=3), _TOY) as target:
        assert len(ask(target, "toy", {}).predictions) == 1


@pytest.mark.parametrize("kind", [PermissionDeniedError, UnauthenticatedError])
def test_a_refused_caller_gets_the_services_reason(ask: Ask, kind: type[AthanorError]) -> None:
    error = kind(f"not by {_SECRET}")
    reflect = _abort(to_grpc_code(error), str(error), error=error)
    with reflecting(reflect) as target, pytest.raises(kind, match=r"not by \[token\]"):
        ask(target, "toy", {}, token=_SECRET)


def test_an_unreachable_service_is_named(ask: Ask) -> None:
    with pytest.raises(ServiceError, match=r"did not answer: UNAVAILABLE: .* gave up after \d+ attempts"):
        ask("127.0.0.1:1", "toy", {}, retry=IMPATIENT)


def test_a_service_without_reflection_is_a_service_error_with_a_remedy(ask: Ask) -> None:
    with (
        reflecting(one_by_one(Described.of(_TOY).reply), _TOY, services=()) as target,
        pytest.raises(ServiceError, match=r"offers no gRPC reflection.* pass grpc.reflection.v1.* generated stubs"),
    ):
        ask(target, "toy", {})


def test_a_silent_service_exceeds_the_deadline(ask: Ask) -> None:
    over = threading.Event()

    def reflect(questions: Iterator[Any], context: Any) -> Iterator[Any]:
        # On a busy machine the call may be over already.
        if context.add_callback(over.set):
            over.wait(60)
        return iter(())

    with reflecting(reflect) as target, pytest.raises(DeadlineExceededError, match=r"no answer within 0\.2 s"):
        ask(target, "toy", {}, timeout_s=0.2)


@pytest.mark.parametrize(
    ("contracts", "expected"),
    [
        ((), "serves no model yet"),
        ((MODEL.contract, _TOY, make_next_major(MODEL.contract)), "it serves delays, delays.v2, toy$"),
    ],
)
def test_a_model_that_is_not_served_is_not_found(ask: Ask, contracts: Any, expected: str) -> None:
    described = Described.of(*contracts)
    with (
        reflecting(one_by_one(described.reply)) as target,
        pytest.raises(ModelNotFoundError, match=f"does not serve model 'rain'; {expected}|{expected}"),
    ):
        ask(target, "rain", {})


def test_the_event_loop_goes_on_meanwhile() -> None:
    """The service answers only after the loop has done something else."""
    asked, released = threading.Event(), threading.Event()
    reply = Described.of(_TOY).reply

    def reflect(questions: Iterator[Any], context: Any) -> Iterator[Any]:
        asked.set()
        released.wait(60)
        return map(reply, questions)

    async def read(target: str) -> None:
        async with connect(target) as connection:
            reading = asyncio.create_task(AsyncClient.from_reflection("toy", connection, 50))
            await asyncio.to_thread(asked.wait, 60)
            released.set()
            await reading

    with reflecting(reflect, _TOY) as target:
        asyncio.run(read(target))


def test_a_closed_connection_is_an_error() -> None:
    with serving(ScriptedService()) as port:
        with connect(f"127.0.0.1:{port}") as connection:
            pass
        with pytest.raises(ServiceError, match="was closed; connect again"):
            Client.from_reflection("delays", connection)
