"""The one way of a request through a replica, whichever door it arrives at: admit, read, answer, write, record."""

import asyncio
import math
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final

from athanor.errors import (
    AbandonedError,
    AthanorError,
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    PermissionDeniedError,
    ServiceError,
    TooLargeError,
)
from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import find_scope
from athanor.serving.answering.batching.batcher import Computed
from athanor.serving.answering.interface import Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.repository import ModelState, Repository
from athanor.serving.doors.answers import UnreadAnswers
from athanor.serving.doors.models.served import ServedModel, ServedModels
from athanor.serving.doors.turns import TurnTaker
from athanor.serving.formats.json_body import Read, Turns
from athanor.serving.formats.repository import check_loaded, check_unloaded
from athanor.serving.setup.settings import ServingSettings
from athanor.serving.telemetry.telemetry import Telemetry

REQUEST_ID: Final = "x-request-id"
STICKY_KEY: Final = "x-athanor-sticky-key"
TIMEOUT: Final = "x-request-timeout-s"
# It goes into headers, logs and files: no character that could end a line.
_REQUEST_ID_PATTERN: Final = re.compile(r"[!-~]{1,128}")
_MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Call:
    """What a request says beside its rows.

    Attributes:
        timeout: how many seconds the caller waits, as its header says; None without one.
        time_remaining_s: how many seconds the protocol itself leaves, as gRPC's deadline does.
    """

    door: str
    request_id: str
    authorization: str | None
    sticky_key: str
    traceparent: str | None
    timeout: str | None
    time_remaining_s: float | None

    @classmethod
    def read(cls, door: str, headers: Mapping[str, str], time_remaining_s: float | None = None) -> "Call":
        """Args: headers: HTTP headers or gRPC metadata, by names in lower case."""
        return cls(
            door,
            make_request_id(headers.get(REQUEST_ID)),
            headers.get("authorization"),
            headers.get(STICKY_KEY, ""),
            headers.get("traceparent"),
            headers.get(TIMEOUT),
            time_remaining_s,
        )

    def timeout_s(self, max_deadline_s: float) -> float:
        """Seconds until the answer is of no more use. Raises InvalidRequestError if the caller's header is invalid."""
        timeout_s = max_deadline_s if self.time_remaining_s is None else min(self.time_remaining_s, max_deadline_s)
        return timeout_s if self.timeout is None else min(_parse_timeout(self.timeout), timeout_s)


def make_request_id(given: str | None) -> str:
    """The caller's, or a new one if the caller sent none that fits into a header."""
    return given if given and _REQUEST_ID_PATTERN.fullmatch(given) else uuid.uuid4().hex


def _parse_timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidRequestError(f"{TIMEOUT} is {text[:_MOST_SHOWN]!r}; give seconds above 0")
    return seconds


@dataclass(frozen=True)
class RequestHandler:
    """Handles the requests of all doors of a replica.

    Attributes:
        repository: loads the models.
        tokens: None lets everyone in.
    """

    models: ServedModels
    repository: Repository
    tokens: Authenticator | None
    telemetry: Telemetry
    settings: ServingSettings
    turns: TurnTaker = field(default_factory=TurnTaker)
    unread: UnreadAnswers = field(default_factory=UnreadAnswers)

    def require_token(self, authorization: str | None, door: str, model: str | None = None) -> None:
        """Raises UnauthenticatedError or PermissionDeniedError if the caller may not use the door, or ask the model.

        Args:
            model: None where no single model is in question.
        """
        if self.tokens:
            self.tokens.require(authorization, find_scope(door), model)

    def require_scope(self, authorization: str | None, door: str) -> None:
        """As `require_token`, for a request that names its model later."""
        if self.tokens:
            self.tokens.require_scope(authorization, find_scope(door))

    def allows(self, authorization: str | None, door: str, model: str) -> bool:
        """Whether the bearer of a valid token may ask a model."""
        try:
            self.require_token(authorization, door, model)
        except PermissionDeniedError:
            return False
        return True

    def list_states(self, authorization: str | None, door: str) -> list[ModelState]:
        """The models that the bearer of a valid token may ask."""
        return [state for state in self.repository.states() if self.allows(authorization, door, state.name)]

    async def load(self, model: str) -> None:
        """Follows the traffic file of a model now. Raises as `check_loaded`."""
        check_loaded(await asyncio.to_thread(self.repository.look, model))

    async def unload(self, model: str) -> None:
        """Follows the traffic file of a model now, if there is one. Raises as `check_unloaded`."""
        with suppress(ModelNotFoundError):
            check_unloaded(await asyncio.to_thread(self.repository.look, model))

    def admit(self, call: Call, model: str | None = None) -> "Exchange":
        """Begins a request: read, answer and write it within the `with` block of what this returns.

        Args:
            model: name of the model that it is for; None if that is in its body, for `Exchange.choose`.
        """
        return Exchange(self, call, model)


class Exchange:
    """A request and its answer, from the token to the last byte written: a context manager.

    Entering compares the caller's token, before anything is read. Leaving records how the request ended: answered if
    the block ends without an error, else refused. Errors leave the block as AthanorErrors: the text of any other error
    may quote the request, and stays in this process.

    Attributes:
        model: that the request is for; set on entering, or by `choose`.
    """

    __slots__ = (
        *("_call", "_computed", "_deadline", "_handler", "_is_reading", "_named", "_observation", "_received_bytes"),
        *("_share", "model"),
    )

    _computed: Computed
    model: ServedModel

    def __init__(self, handler: RequestHandler, call: Call, named: str | None) -> None:
        self._handler = handler
        self._call = call
        self._named = named
        self._share = handler.models.unnamed
        self._received_bytes = 0
        self._is_reading = False

    def __enter__(self) -> "Exchange":
        call, handler = self._call, self._handler
        known = handler.models.get(self._named) if self._named else None
        observed = known.telemetry if known else None
        self._observation = handler.telemetry.begin(call.door, call.request_id, call.traceparent, observed)
        try:
            if self._named is None:
                handler.require_scope(call.authorization, call.door)
            else:
                handler.require_token(call.authorization, call.door, self._named)
                self._take(known or handler.models.find(self._named))
            self._deadline = time.monotonic() + call.timeout_s(handler.settings.max_deadline_s)
            self._share.begin()
            self._is_reading = True
        except Exception as error:
            self._refuse(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_reading()
        self._share.release(self._received_bytes)
        if error is not None:
            self._refuse(error)
            return
        self._observation.answered(self._computed)
        self.model.shadow.ask(self._computed.answer, self._observation)

    def choose(self, name: str) -> ServedModel:
        """The model that the request's body names; for "" the only one. The request counts as its own from now on.

        Raises:
            PermissionDeniedError: the caller may not ask this model.
            ModelNotFoundError: as `ServedModels.find`.
            OverloadedError: the model holds too much already.
        """
        model = self._handler.models.find(name)
        self._handler.require_token(self._call.authorization, self._call.door, model.name)
        before, received = self._share, self._received_bytes
        self._end_reading()
        before.release(received)
        self._received_bytes = 0
        self._take(model)
        self._observation.of(model.telemetry)
        self._share.begin()
        self._is_reading = True
        self._share.reserve(received)
        self._received_bytes = received
        return model

    def _take(self, model: ServedModel) -> None:
        self.model = model
        self._share = model.batcher.share

    def _refuse(self, error: BaseException) -> None:
        """Records an error. Raises a ServiceError in the place of one that is not for the caller."""
        if isinstance(error, AthanorError):
            self._observation.refused(error)
        elif isinstance(error, Exception):
            failure = ServiceError(f"the service failed at request {self._call.request_id}; its log has the cause")
            failure.__cause__ = error
            self._observation.refused(failure)
            raise failure
        else:
            # The door's task was cancelled.
            self._observation.refused(AbandonedError("the caller went away before it was answered"))

    def _end_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._share.end()

    @property
    def most_bytes(self) -> int:
        """The most bytes that a request may have."""
        return self._handler.settings.max_message_bytes

    @asynccontextmanager
    async def arriving(self) -> AsyncIterator[None]:
        """A block in which the request's body arrives.

        Raises:
            DeadlineExceededError: the block is still waiting for the caller when the deadline passes.
            OverloadedError: too many bodies of this caller are arriving.
        """
        timeout_s = self._deadline - time.monotonic()
        try:
            with self._handler.models.capacity.arriving(self._call.authorization or ""):
                async with asyncio.timeout(timeout_s):
                    yield
        except TimeoutError:
            raise DeadlineExceededError(
                f"the deadline passed when {self._received_bytes} bytes of the request had arrived; send it faster, or"
                " with a longer deadline"
            ) from None

    async def take_turns(self, work: Turns[Read]) -> Read:
        """The result of work on the request or its answer; others have their turn meanwhile."""
        return await self._handler.turns.run(work, self._deadline)

    def receive(self, size_bytes: int, packed_bytes: int = 0) -> None:
        """Counts bytes of the request; call it before they are parsed, for each part of a body that arrives in parts.

        Args:
            packed_bytes: that have arrived so far of a compressed body.

        Raises:
            TooLargeError: the request is larger than the setting `max_message_bytes`.
            OverloadedError: the replica holds too many bytes already.
        """
        most = self.most_bytes
        if max(self._received_bytes + size_bytes, packed_bytes) > most:
            raise TooLargeError(f"the request has more than {most} bytes, the most that a request may have")
        self._share.reserve(size_bytes)
        self._received_bytes += size_bytes

    @property
    def remaining_s(self) -> float:
        """Seconds until the answer is of no more use; below 0 after that."""
        return self._deadline - time.monotonic()

    async def answer(self, question: Question) -> Answer:
        """Answers the request's question. Raises AthanorError as `Batcher.ask`."""
        if self.model.interface.sticks_by_request_id and not question.sticky_key:
            question = replace(question, sticky_key=self._call.request_id)
        self._end_reading()
        self._computed = await self.model.batcher.ask(question, self._deadline)
        return self._computed.answer


def headers_of(answer: Answer, request_id: str) -> tuple[tuple[str, str], ...]:
    """The headers of every answer, or its gRPC metadata."""
    variant = answer.variant
    return (
        (REQUEST_ID, request_id),
        ("x-athanor-version", variant.semantic_version),
        ("x-athanor-digest", variant.digest),
        ("x-athanor-variant", variant.name),
    )
