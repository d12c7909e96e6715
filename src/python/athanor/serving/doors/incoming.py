"""A gRPC call as a replica receives it: its head first, its message when a method asks for it.

A method decides by the head who may send a message. Until it asks for one, gRPC holds no more than a stream's window.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from athanor.errors import (
    AthanorError,
    DeadlineExceededError,
    InvalidRequestError,
    OverloadedError,
    TooLargeError,
)
from athanor.serving.doors.handler import REQUEST_ID, Call
from athanor.serving.doors.shares import Shares
from athanor.serving.doors.unpacking import unpack
from athanor.serving.formats.problems import to_grpc_code, to_rpc_status

_Message = TypeVar("_Message", bound=Message)

_MIB: Final = 1024 * 1024
# A message that follows its head this soon needs no share. Most do: to reserve one for each would take all of them.
_PROMPT_S: Final = 0.1
# Timers of uvloop, which Serve runs on, fire up to a millisecond before their time.
_EARLY_S: Final = 0.002
# What gRPC and Python hold for a call that is not over, beside its messages: measured 18 kB.
_CALL_BYTES: Final = 18 * 1024
# A question about health has the name of a service at most.
_SMALL_BYTES: Final = 4 * 1024
SMALL_S: Final = 5.0

_SLOW: Final = "messages that are slow to arrive"
_UNREAD: Final = "answers that are not read"


class Transit:
    """The shares of what is on its way.

    Attributes:
        slow: of messages that have begun to arrive.
        unread: of answers that were not taken yet, and of their calls.
    """

    def __init__(self, slow_bytes: int, unread_bytes: int) -> None:
        self.slow = Shares(slow_bytes, _SLOW)
        self.unread = Shares(unread_bytes, _UNREAD)


# Of calls that need no token, each connection being a caller. One slow message has room at a time, whatever its size.
_STRANGERS: Final = Transit(1, 32 * _MIB)


class Incoming:
    """One call. It counts as a stranger's until `trust`.

    Attributes:
        call: what its head says.
    """

    def __init__(self, door: str, context: Any, unread: Shares = _STRANGERS.unread) -> None:
        """Args: unread: shares in which the answers of a stranger count."""
        self.call = Call.read(door, dict(context.invocation_metadata()), context.time_remaining())
        self._unread = unread
        self._slow = _STRANGERS.slow
        self._context = context
        self._caller: str | None = None
        self._most_bytes = 1
        self._slow_bytes = 0
        self._failure: AthanorError | None = None
        self._ending: asyncio.Task[NoReturn] | None = None

    def trust(self, caller: str | None, transit: Transit, most_bytes: int) -> None:
        """Counts the call in the shares of those who may ask for predictions.

        Args:
            caller: whose call it is; None for its connection's.
            most_bytes: in its message.
        """
        self._caller = caller
        self._slow, self._unread = transit.slow, transit.unread
        self._most_bytes = most_bytes

    async def read(self, timeout_s: float, receive: Callable[[int], None]) -> bytes:
        """Reads the call's message, and unpacks it.

        Args:
            timeout_s: seconds for which it may arrive.
            receive: as of `unpack`.

        Raises:
            DeadlineExceededError: it did not arrive in time.
            InvalidRequestError: the call has none, or a damaged one.
            OverloadedError: it arrives slowly, and there is no room for it.
        """
        content = await self.read_next(timeout_s, receive)
        if content is None:
            # gRPC says the same of a call that its caller has given up, and cancels this task in its next turn.
            await asyncio.sleep(0)
            raise InvalidRequestError("the call ended without a message; send one")
        return content

    async def read_small(self) -> bytes:
        """Reads a message of a stranger. Raises as `read`; TooLargeError above 4 KiB."""
        return await self.read(SMALL_S, require_small)

    async def read_next(self, timeout_s: float, receive: Callable[[int], None]) -> bytes | None:
        """As `read`, for one of several messages; None after the last."""
        content = await self._receive(timeout_s)
        # No stubs for it.
        is_end = content is grpc.aio.EOF  # type: ignore[attr-defined,unused-ignore]
        return None if is_end else await unpack(content, receive)

    async def _receive(self, timeout_s: float) -> Any:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer: asyncio.Handle = loop.call_at(now + min(_PROMPT_S, timeout_s), self._look, now + timeout_s)
        try:
            return await self._context.read()
        except grpc.aio.AbortError:
            if self._failure is None:
                raise
            raise self._failure from None
        finally:
            self._timer.cancel()
            self._release_slow()

    def _look(self, until: float) -> None:
        # After a turn in which the loop was busy, a message that has arrived comes first.
        self._timer = asyncio.get_running_loop().call_soon(self._continue, until)

    def _continue(self, until: float) -> None:
        """Lets a slow message go on until its time is over, if there is room for all of it."""
        loop = asyncio.get_running_loop()
        try:
            if loop.time() + _EARLY_S >= until:
                raise DeadlineExceededError("the message did not arrive before the deadline; retry with a longer one")
            if not self._slow_bytes:
                self._slow.reserve(self._who, self._most_bytes)
                self._slow_bytes = self._most_bytes
        except AthanorError as error:
            self._end(error)
        else:
            self._timer = loop.call_at(until, self._look, until)

    @property
    def _who(self) -> str:
        return self._caller or str(self._context.peer())

    def _release_slow(self) -> None:
        if self._slow_bytes:
            self._slow.release(self._who, self._slow_bytes)
            self._slow_bytes = 0

    def _end(self, error: AthanorError) -> None:
        """Ends the call while its message is being read. To cancel the reading would leak a message that just came."""
        self._failure = error
        self._ending = asyncio.ensure_future(self._abort(error))
        # The method's own task may be cancelled before it awaits this one.
        self._ending.add_done_callback(lambda task: task.cancelled() or task.exception())

    def write(self, message: Message) -> bytes:
        """Serialises an answer, and holds room for it until the caller has taken it. Raises OverloadedError."""
        content = message.SerializeToString()
        self.hold(len(content))
        return content

    def hold(self, size_bytes: int = 0) -> None:
        """Holds room until the call is over. Raises OverloadedError if the caller's share is used up."""
        caller, unread, held = self._who, self._unread, _CALL_BYTES + size_bytes
        unread.reserve(caller, held)
        self._context.add_done_callback(lambda context: unread.release(caller, held))

    async def refuse(self, error: AthanorError) -> NoReturn:
        """Ends the call with an error, unless that was done already. Raises what gRPC's `abort` raises."""
        await (self._ending or self._abort(error))
        raise AssertionError("abort always raises")

    async def _abort(self, error: AthanorError) -> NoReturn:
        status = to_rpc_status(error)
        metadata: list[tuple[str, str | bytes]] = [
            (REQUEST_ID, self.call.request_id),
            ("grpc-status-details-bin", status.SerializeToString()),
        ]
        if isinstance(error, OverloadedError):
            # gRPC's own retries wait for the second.
            metadata.append(("retry-after", f"{error.retry_after_s:g}"))
            metadata.append(("grpc-retry-pushback-ms", f"{error.retry_after_s * 1000:.0f}"))
        try:
            await self._context.abort(to_grpc_code(error), status.message, tuple(metadata))
        except grpc.aio.InternalError:
            # The call is over: its caller went away.
            raise asyncio.CancelledError from None
        raise AssertionError("abort always raises")


def parse(message_class: type[_Message], content: bytes) -> _Message:
    """Raises InvalidRequestError if the bytes are no such message. gRPC itself would report it as UNKNOWN."""
    try:
        return message_class.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"the bytes are not a valid {message_class.DESCRIPTOR.full_name}: {error}") from None


def require_small(size_bytes: int) -> None:
    if size_bytes > _SMALL_BYTES:
        raise TooLargeError(f"the request has more than {_SMALL_BYTES} bytes, the most that this method takes")
