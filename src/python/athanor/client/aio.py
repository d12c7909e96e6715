"""The client for asyncio."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import grpc

from athanor.client.batches import (
    DEFAULT_BATCH_ROWS,
    DEFAULT_IN_FLIGHT,
    Batching,
    OnRefused,
    Predicted,
    RowBatch,
    split_rows_async,
)
from athanor.client.caller import Caller
from athanor.client.calls import DEFAULT_TIMEOUT_S, Call, CallOptions
from athanor.client.connection.channel import Connection, connect
from athanor.client.contract.method import PredictMethod
from athanor.errors import InvalidAnswerError, InvalidRequestError

__all__ = ["AsyncClient", "connect"]


class AsyncClient(Caller):
    """Client of one model for one event loop. Same methods and errors as `athanor.client.client.Client`."""

    def __init__(self, model: str, connection: Connection, method: PredictMethod | None = None) -> None:
        """As `Client`; call it in the event loop."""
        super().__init__(model, connection, method)
        self._predict = self._method.open(connection.open_async())

    @classmethod
    async def from_reflection(
        cls, model: str, connection: Connection, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> "AsyncClient":
        """As `Client.from_reflection`."""
        from athanor.client.contract.reflection import reflect_async  # noqa: PLC0415 - programs with stubs do without

        return cls(model, connection, await reflect_async(model, connection, timeout_s))

    async def predict(
        self,
        rows: Sequence[Any],
        timeout_s: float = DEFAULT_TIMEOUT_S,
        request_id: str | None = None,
        *,
        semantic_version: str | None = None,
        sticky_key: str | None = None,
    ) -> Any:
        """As `Client.predict`."""
        return await self._send(self._begin(rows, CallOptions(timeout_s, request_id, semantic_version, sticky_key)))

    def predict_many(
        self,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        batch_rows: int = DEFAULT_BATCH_ROWS,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        semantic_version: str | None = None,
        sticky_key: str | None = None,
        on_refused: OnRefused | None = None,
    ) -> AsyncIterator[Predicted]:
        """As `Client.predict_many`; the rows may be an asynchronous iterable as well."""
        batching = Batching(batch_rows, in_flight, CallOptions(timeout_s, None, semantic_version, sticky_key))
        return self._predict_many(rows, batching, on_refused)

    async def _predict_many(
        self, rows: Iterable[Any] | AsyncIterable[Any], batching: Batching, on_refused: OnRefused | None
    ) -> AsyncIterator[Predicted]:
        waiting: deque[tuple[RowBatch, asyncio.Task[Any]]] = deque()
        try:
            async for first, some in split_rows_async(rows, batching.batch_rows):
                batch = self._begin_batch(first, some, batching)
                waiting.append((batch, asyncio.create_task(self._send(batch.call))))
                if len(waiting) >= batching.in_flight:
                    for predicted in await _take(*waiting.popleft(), on_refused):
                        yield predicted
            while waiting:
                for predicted in await _take(*waiting.popleft(), on_refused):
                    yield predicted
        finally:
            for _, task in waiting:
                task.cancel()

    async def _send(self, call: Call) -> Any:
        while True:
            try:
                return await self._predict(call.request, timeout=call.attempts.remaining_s, metadata=call.metadata)
            except grpc.RpcError as error:
                wait_s = call.wait_after(error)
            await asyncio.sleep(wait_s)


async def _take(batch: RowBatch, answer: "asyncio.Task[Any]", on_refused: OnRefused | None) -> Iterator[Predicted]:
    try:
        response = await answer
    except (InvalidRequestError, InvalidAnswerError) as error:
        batch.refuse(error, on_refused)
        return iter(())
    except BaseException:
        answer.cancel()
        raise
    return batch.to_predicted(response)
