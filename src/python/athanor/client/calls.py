"""One call, before it is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from athanor.client.connection.retries import Attempts

DEFAULT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Options:
    """What a caller may ask of a prediction beside the rows; see `Client.predict`."""

    timeout_s: float
    request_id: str | None
    semantic_version: str | None
    sticky_key: str | None


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent as often as it takes.

    Attributes:
        wait_after: seconds to wait before it is sent again after an error of gRPC; raises ours if it is to end.
    """

    request: Message
    metadata: tuple[tuple[str, str], ...]
    attempts: Attempts
    wait_after: Callable[[Exception], float]
