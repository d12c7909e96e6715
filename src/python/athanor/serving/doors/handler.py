"""What a request passes whichever door it came by: who asks, whether there is room, and what is remembered of it."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from athanor.errors import AbandonedError, AthanorError, ServiceError
from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.answering.batcher import Batcher
from athanor.serving.answering.core import Answer, Core, Question
from athanor.serving.doors.shadow import Shadow
from athanor.serving.telemetry.telemetry import Telemetry

REQUEST_ID: Final = "x-request-id"
STICKY_KEY: Final = "x-athanor-sticky-key"
# Goes into headers, logs and files: nothing that could end a line.
_REQUEST_ID_PATTERN: Final = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Call:
    """What a request says beside its rows.

    Attributes:
        deadline: until when an answer is of use, by `time.monotonic`.
    """

    door: str
    request_id: str
    authorization: str | None
    sticky_key: str
    traceparent: str | None
    deadline: float

    @classmethod
    def read(cls, door: str, headers: Mapping[str, str], timeout_s: float) -> "Call":
        """Args: headers: by names in lower case, of HTTP or of gRPC."""
        return cls(
            door,
            make_request_id(headers.get(REQUEST_ID)),
            headers.get("authorization"),
            headers.get(STICKY_KEY, ""),
            headers.get("traceparent"),
            time.monotonic() + timeout_s,
        )


def make_request_id(given: str | None) -> str:
    """The caller's, or a new one where there is none that can go into a header."""
    return given if given and _REQUEST_ID_PATTERN.fullmatch(given) else uuid.uuid4().hex


class Reception:
    """Takes questions from all doors of a replica."""

    def __init__(
        self, core: Core, batcher: Batcher, shadow: Shadow, tokens: Authenticator | None, telemetry: Telemetry
    ) -> None:
        """Args: tokens: None lets anybody in."""
        self.core = core
        self.telemetry = telemetry
        self._batcher = batcher
        self._shadow = shadow
        self._tokens = tokens

    def require(self, authorization: str | None, scope: Scope) -> None:
        """Raises UnauthenticatedError or PermissionDeniedError if a caller may not do this."""
        if self._tokens:
            self._tokens.require(authorization, scope)

    async def answer(self, call: Call, read: Callable[[], Awaitable[Question]]) -> Answer:
        """Answers a request.

        Args:
            read: takes in the request's body and makes the question of it; called once the caller is known.

        Raises:
            AthanorError: it is refused; everything else is told to nobody but the log.
        """
        observation = self.telemetry.begin(call.door, call.request_id, call.traceparent)
        try:
            self.require(call.authorization, Scope.PREDICT)
            computed = await self._batcher.ask(await read(), call.deadline)
        except AthanorError as error:
            observation.refused(error)
            raise
        except asyncio.CancelledError:
            observation.refused(AbandonedError("the caller went away before it was answered"))
            raise
        except Exception as error:
            failure = ServiceError(f"the service failed; its log tells more about request {call.request_id}")
            failure.__cause__ = error
            observation.refused(failure)
            raise failure from error
        answer = computed.answer
        observation.answered(
            answer.variant.name,
            answer.variant.semantic_version,
            answer.variant.digest,
            answer.batch.columns,
            answer.first,
            answer.count,
            answer.probabilities,
            computed.started_ns,
            computed.ended_ns,
        )
        self._shadow.ask(answer, observation)
        return answer


def headers_of(answer: Answer, request_id: str) -> tuple[tuple[str, str], ...]:
    """What every answer carries, whichever door it leaves by."""
    variant = answer.variant
    return (
        (REQUEST_ID, request_id),
        ("x-athanor-version", variant.semantic_version),
        ("x-athanor-digest", variant.digest),
        ("x-athanor-variant", variant.name),
    )
