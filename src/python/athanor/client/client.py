"""Calls a prediction service by the stubs that its protos generate. Nothing of the server comes along."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc

from athanor.client.batches import DEFAULT_BATCH_ROWS, DEFAULT_IN_FLIGHT, Batch, Cut, OnRefused, Predicted, cut
from athanor.client.caller import Caller
from athanor.client.calls import DEFAULT_TIMEOUT_S, Call, Options
from athanor.client.connection.channel import Connection, connect
from athanor.errors import InvalidRequestError

__all__ = ["Client", "connect"]


class Client(Caller):
    """A project's service. May be used by several threads; `athanor.client.aio.AsyncClient` is the same for asyncio."""

    def __init__(self, project: str, connection: Connection) -> None:
        """Finds the project's stubs and the token; asks nothing yet.

        Raises:
            NotFoundError: this binary carries no stubs of the project.
            ServiceError: the connection was closed.
            SettingsError: the token cannot be read.
        """
        super().__init__(project, connection)
        self._predict = self._stubs.open_predict(connection.open())

    def predict(
        self,
        rows: Sequence[Any],
        timeout_s: float = DEFAULT_TIMEOUT_S,
        request_id: str | None = None,
        *,
        semantic_version: str | None = None,
        sticky_key: str | None = None,
    ) -> Any:
        """Asks for predictions, and again while the service is away or overloaded.

        Args:
            rows: messages of `row_class`.
            timeout_s: seconds until the deadline of all attempts together.
            request_id: comes back in the answer; the server makes one if there is none.
            semantic_version: the version to ask; whichever serves traffic by default.
            sticky_key: requests with the same key are answered by the same variant; that of the first row by default.

        Returns:
            The response message.

        Raises:
            DeadlineExceededError: there was no answer in time.
            InvalidRequestError: rows break the contract; carries the violations.
            ModelNotFoundError: the service does not serve the model, or not this version.
            OverloadedError: the service has too much to do; says when to ask again.
            PermissionDeniedError, UnauthenticatedError: the token is not known, or not enough.
            ServiceError: the service did not answer.
            SettingsError: `timeout_s` is no time.
            TooLargeError: there are more rows or bytes than the service takes at once.
        """
        return self._send(self._begin(rows, Options(timeout_s, request_id, semantic_version, sticky_key)))

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
        """Asks for any number of rows, several requests at a time, and yields the answers in the rows' order.

        At most `(in_flight + 1) * batch_rows` rows are held. They are taken from `rows` by the thread that iterates.

        Args:
            rows: messages of `row_class`.
            batch_rows: rows in one request.
            in_flight: requests under way at a time.
            timeout_s: seconds until the deadline of one request.
            semantic_version: the version to ask; whichever serves traffic by default.
            sticky_key: as in `predict`; without it, batches may be answered by different variants.
            on_refused: told of each batch that breaks the contract; its rows are left out and the others asked. Without
                it the first such batch ends the iteration with InvalidRequestError.

        Raises:
            Whatever `predict` does, when the iteration comes to the batch; violations name rows among all.
        """
        whole = Cut(batch_rows, in_flight, Options(timeout_s, None, semantic_version, sticky_key))
        return self._predict_many(rows, whole, on_refused)

    def _predict_many(self, rows: Iterable[Any], whole: Cut, on_refused: OnRefused | None) -> Iterator[Predicted]:
        waiting: deque[tuple[Batch, Future[Any]]] = deque()
        executor = ThreadPoolExecutor(whole.in_flight, thread_name_prefix="athanor-client")
        try:
            for first, some in cut(rows, whole.batch_rows):
                batch = self._begin_batch(first, some, whole)
                waiting.append((batch, executor.submit(self._send, batch.call)))
                if len(waiting) >= whole.in_flight:
                    yield from _take(*waiting.popleft(), on_refused)
            while waiting:
                yield from _take(*waiting.popleft(), on_refused)
        finally:
            # Whoever stops early does not wait for answers that nobody reads.
            executor.shutdown(wait=False, cancel_futures=True)

    def _send(self, call: Call) -> Any:
        while True:
            try:
                return self._predict(call.request, timeout=call.attempts.remaining_s, metadata=call.metadata)
            except grpc.RpcError as error:
                wait_s = call.wait_after(error)
            self._connection.wait(wait_s)


def _take(batch: Batch, answer: "Future[Any]", on_refused: OnRefused | None) -> Iterator[Predicted]:
    try:
        response = answer.result()
    except InvalidRequestError as error:
        batch.refuse(error, on_refused)
        return
    yield from batch.to_predicted(response)
