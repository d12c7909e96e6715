"""The synchronous client of a prediction service. It needs gRPC, nothing of the server."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc

from athanor.client.batches import (
    DEFAULT_BATCH_ROWS,
    DEFAULT_IN_FLIGHT,
    Batching,
    OnRefused,
    Predicted,
    RowBatch,
    split_rows,
)
from athanor.client.caller import Caller
from athanor.client.calls import DEFAULT_TIMEOUT_S, Call, CallOptions
from athanor.client.connection.channel import Connection, connect
from athanor.client.contract.method import PredictMethod
from athanor.errors import InvalidAnswerError, InvalidRequestError

__all__ = ["Client", "connect"]


class Client(Caller):
    """Client of one model, safe to share among threads. For asyncio see `athanor.client.aio.AsyncClient`."""

    def __init__(self, model: str, connection: Connection, method: PredictMethod | None = None) -> None:
        """Finds the model's generated stubs and the token; sends nothing yet.

        Args:
            model: a project's name, or `flight_delay.v2` for its second major.
            method: the model's RPC; by default from generated stubs. Without stubs use `from_reflection`.

        Raises:
            NotFoundError: no generated stubs of the model can be imported.
            ServiceError: the connection was closed.
            SettingsError: the token cannot be read.
        """
        super().__init__(model, connection, method)
        self._predict = self._method.open(connection.open())

    @classmethod
    def from_reflection(cls, model: str, connection: Connection, timeout_s: float = DEFAULT_TIMEOUT_S) -> "Client":
        """Makes a client of any model that the service serves, without generated stubs.

        Reads the contract from the service by gRPC reflection, with the retries of a prediction. The client keeps
        this contract: columns that the service's later releases add are not in its `row_class`.

        Args:
            timeout_s: deadline of the reading, in seconds.

        Raises:
            ModelNotFoundError: the service does not serve the model; names those that it serves.
            NotFoundError: the text cannot be a model's name.
            ServiceError: the connection was closed, or the service did not answer, offers no reflection, or describes
                itself in a way that cannot be used.
            DeadlineExceededError, PermissionDeniedError, SettingsError, UnauthenticatedError: as in `predict`.
        """
        from athanor.client.contract.reflection import reflect  # noqa: PLC0415 - programs with stubs do without

        return cls(model, connection, reflect(model, connection, timeout_s))

    def predict(
        self,
        rows: Sequence[Any],
        timeout_s: float = DEFAULT_TIMEOUT_S,
        request_id: str | None = None,
        *,
        semantic_version: str | None = None,
        sticky_key: str | None = None,
    ) -> Any:
        """Predicts rows. Retries while the service is unavailable or overloaded.

        Args:
            rows: messages of `row_class`.
            timeout_s: deadline of all attempts together, in seconds.
            request_id: returned in the response; the service makes one by default.
            semantic_version: version to ask; chosen by the traffic by default.
            sticky_key: requests with the same key are answered by the same variant; the first row's key by default.

        Returns:
            The response message.

        Raises:
            DeadlineExceededError: there was no response in time.
            InvalidAnswerError: the model's answers to rows break the contract; has the violations.
            InvalidRequestError: rows break the contract, or the model fails on them; has the violations.
            ModelNotFoundError: the service does not serve the model or this version.
            OverloadedError: the service has too many requests; has the time to wait.
            PermissionDeniedError: the token does not allow it.
            ServiceError: the service failed or did not answer.
            SettingsError: `timeout_s` is not a positive number.
            TooLargeError: more rows or bytes than the service accepts in one request.
            UnauthenticatedError: the token is missing or unknown.
            AthanorError: any other error that the service names; `code` says which.
        """
        return self._send(self._begin(rows, CallOptions(timeout_s, request_id, semantic_version, sticky_key)))

    def predict_many(
        self,
        rows: Iterable[Any],
        *,
        batch_rows: int = DEFAULT_BATCH_ROWS,
        in_flight: int = DEFAULT_IN_FLIGHT,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        semantic_version: str | None = None,
        sticky_key: str | None = None,
        on_refused: OnRefused | None = None,
    ) -> Iterator[Predicted]:
        """Predicts any number of rows, several requests at a time, and yields predictions in the order of the rows.

        Holds at most `(in_flight + 1) * batch_rows` rows. The iterating thread takes them from `rows`.

        Args:
            rows: messages of `row_class`.
            batch_rows: rows in one request.
            in_flight: requests in flight at a time.
            timeout_s: deadline of one request, in seconds.
            semantic_version: version to ask; chosen by the traffic by default.
            sticky_key: as in `predict`; without it, batches may be answered by different variants.
            on_refused: called with each batch that has an InvalidRequestError or InvalidAnswerError; its rows are
                skipped. Without it the first such batch ends the iteration with its error.

        Raises:
            The errors of `predict`, when the iteration reaches the batch; violations name rows by position among all.
        """
        batching = Batching(batch_rows, in_flight, CallOptions(timeout_s, None, semantic_version, sticky_key))
        return self._predict_many(rows, batching, on_refused)

    def _predict_many(
        self, rows: Iterable[Any], batching: Batching, on_refused: OnRefused | None
    ) -> Iterator[Predicted]:
        waiting: deque[tuple[RowBatch, Future[Any]]] = deque()
        executor = ThreadPoolExecutor(batching.in_flight, thread_name_prefix="athanor-client")
        try:
            for first, some in split_rows(rows, batching.batch_rows):
                batch = self._begin_batch(first, some, batching)
                waiting.append((batch, executor.submit(self._send, batch.call)))
                if len(waiting) >= batching.in_flight:
                    yield from _take(*waiting.popleft(), on_refused)
            while waiting:
                yield from _take(*waiting.popleft(), on_refused)
        finally:
            # A caller that stops early does not wait for the rest.
            executor.shutdown(wait=False, cancel_futures=True)

    def _send(self, call: Call) -> Any:
        while True:
            try:
                return self._predict(call.request, timeout=call.attempts.remaining_s, metadata=call.metadata)
            except grpc.RpcError as error:
                wait_s = call.wait_after(error)
            self._connection.wait(wait_s)


def _take(batch: RowBatch, answer: "Future[Any]", on_refused: OnRefused | None) -> Iterator[Predicted]:
    try:
        response = answer.result()
    except (InvalidRequestError, InvalidAnswerError) as error:
        batch.refuse(error, on_refused)
        return
    yield from batch.to_predicted(response)
