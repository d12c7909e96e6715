"""Reads the contract of a model from its service by gRPC reflection, on a channel of grpc or of grpc.aio.

grpcio-reflection has a client too, but it sends no token, has no deadline, and trusts the service.
"""

import asyncio
from typing import Any, Final

import grpc
import grpc.aio

from athanor.client.connection.authorization import Authorization
from athanor.client.connection.channel import Connection
from athanor.client.connection.failures import to_failure
from athanor.client.connection.retries import Attempts, RetryCount
from athanor.client.contract.dialogue import find_predict
from athanor.client.contract.method import PredictMethod
from athanor.errors import ModelNotFoundError, ServiceError

# The messages of both are the same. Old services have only the second.
_SERVICES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
# Of all answers together; a contract has some 20 kB.
_MOST_BYTES: Final = 1024 * 1024


def reflect(model: str, connection: Connection, timeout_s: float) -> PredictMethod:
    """Reads the method `Predict` of a model from its service.

    Args:
        timeout_s: deadline of all calls and attempts together, in seconds.

    Raises:
        AthanorError: as `Client.from_reflection`.
    """
    reading = _Reading(model, connection, timeout_s)
    channel = connection.open()
    while reading.method is None:
        call, wait_s = reading.ask(channel), 0.0
        try:
            reading.take(next(call, None))
        except grpc.RpcError as error:
            wait_s = reading.wait_after(error)
        finally:
            call.cancel()
        connection.wait(wait_s)
    return reading.method


async def reflect_async(model: str, connection: Connection, timeout_s: float) -> PredictMethod:
    """As `reflect`, in an event loop."""
    reading = _Reading(model, connection, timeout_s)
    channel = connection.open_async()
    while reading.method is None:
        call, wait_s = reading.ask(channel), 0.0
        try:
            answer: Any = await call.read()
            # At the end of the stream it is no message.
            reading.take(answer if isinstance(answer, bytes) else None)
        except grpc.RpcError as error:
            wait_s = reading.wait_after(error)
        finally:
            call.cancel()
        await asyncio.sleep(wait_s)
    return reading.method


class _Reading:
    """The reading of one contract, except for sending and waiting.

    Attributes:
        method: None until the reading ends.
    """

    method: PredictMethod | None = None

    def __init__(self, model: str, connection: Connection, timeout_s: float) -> None:
        connection.require_open()
        self._attempts = Attempts(connection.retry, timeout_s, RetryCount())
        self._timeout_s = timeout_s
        self._dialogue = find_predict(model)
        self._question = next(self._dialogue)
        self._authorization = Authorization(connection.find_token(model))
        self._services = list(_SERVICES)
        self._bytes = 0

    def ask(self, channel: Any) -> Any:
        """Begins a call with the next question. Its first answer counts; a service may send more, without an end."""
        # One question a call: grpc.aio loses the status of a stream that is refused while a question is being sent.
        call = channel.unary_stream(f"/{self._services[0]}/ServerReflectionInfo")
        return call(self._question, timeout=self._attempts.remaining_s, metadata=self._authorization.metadata)

    def take(self, answer: bytes | None) -> None:
        """Takes the answer; None if the call ended without one."""
        if answer is None:
            raise ServiceError("the service's reflection ended before it had answered")
        self._bytes += len(answer)
        if self._bytes > _MOST_BYTES:
            raise ServiceError(f"the service describes its contract by more than {_MOST_BYTES} bytes")
        try:
            self._question = self._dialogue.send(answer)
        except StopIteration as end:
            self.method = end.value
        except (ModelNotFoundError, ServiceError) as error:
            raise type(error)(self._authorization.hide(str(error))) from None

    def wait_after(self, error: Any) -> float:
        """Seconds until the next attempt. Raises the error's AthanorError without another attempt."""
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            return self._attempts.wait_after(to_failure(error, self._timeout_s, self._authorization.hide))
        del self._services[0]
        if not self._services:
            raise ServiceError(
                "the service offers no gRPC reflection, by which the client reads the contract; let a proxy before it"
                f" pass {_SERVICES[0]}, or call it from a program with generated stubs"
            )
        return 0.0
