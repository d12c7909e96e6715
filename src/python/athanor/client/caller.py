"""Base of the synchronous and the asynchronous client: prepares calls and reads failures."""

import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from athanor.client.batches import Batching, RowBatch
from athanor.client.calls import Call, CallOptions
from athanor.client.connection.authorization import Authorization
from athanor.client.connection.channel import Connection
from athanor.client.connection.failures import to_failure
from athanor.client.connection.retries import Attempts, RetryCount
from athanor.client.contract.method import PredictMethod
from athanor.client.contract.stubs import find_stubs
from athanor.errors import InvalidRequestError

# Text that gRPC accepts as a header. Its own error would repeat every header, the token included.
_HEADER_VALUE: Final = re.compile(r"[ -~]{1,1024}")


class Caller:
    """A client, except for sending and waiting."""

    def __init__(self, model: str, connection: Connection, method: PredictMethod | None) -> None:
        """Finds the token, and the model's generated stubs unless its method is given.

        Raises:
            NotFoundError: there are no stubs of the model.
            SettingsError: the token cannot be read.
        """
        self._method = method or find_stubs(model)
        self._connection = connection
        self._authorization = Authorization(connection.find_token(model))
        self._count = RetryCount()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.target.address})"

    @property
    def row_class(self) -> type[Any]:
        """Message class of one row."""
        return self._method.row_class

    @property
    def retries(self) -> int:
        """Number of retries so far."""
        return self._count.value

    def _begin(self, rows: Sequence[Any], options: CallOptions) -> Call:
        self._connection.require_open()
        attempts = Attempts(self._connection.retry, options.timeout_s, self._count)

        def wait_after(error: Exception) -> float:
            return attempts.wait_after(to_failure(error, options.timeout_s, self._authorization.hide))

        request = self._method.make_request(rows, options.semantic_version)
        return Call(request, self._make_metadata(options), attempts, wait_after)

    def _begin_batch(self, first: int, rows: Sequence[Any], batching: Batching) -> RowBatch:
        return RowBatch(first, rows, self._begin(rows, batching.options), self._method)

    def _make_metadata(self, options: CallOptions) -> tuple[tuple[str, str], ...]:
        given = {
            "x-request-id": options.request_id,
            "x-athanor-sticky-key": options.sticky_key,
            "traceparent": _current_traceparent(),
        }
        for name, value in given.items():
            if value is not None and _HEADER_VALUE.fullmatch(value) is None:
                raise InvalidRequestError(f"{name} is {value[:100]!r}; give up to 1024 visible ASCII characters")
        sent = tuple((name, value) for name, value in given.items() if value is not None)
        return (*sent, *self._authorization.metadata)


def _current_traceparent() -> str | None:
    """`traceparent` of the current span if the process uses OpenTelemetry, which the client does not depend on."""
    propagate: Any = sys.modules.get("opentelemetry.propagate")
    if propagate is None:
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")
