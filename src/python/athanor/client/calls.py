"""One call, before it is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from athanor.client.connection.retries import Attempts

DEFAULT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class CallOptions:
    """Options of one call; see `Client.predict`."""

    timeout_s: float
    request_id: str | None
    semantic_version: str | None
    sticky_key: str | None


@dataclass(frozen=True)
class Call:
    """One request, ready for any number of attempts.

    Attributes:
        wait_after: seconds until the next attempt after a gRPC error; raises our error if there is none.
    """

    request: Message
    metadata: tuple[tuple[str, str], ...]
    attempts: Attempts
    wait_after: Callable[[Exception], float]
