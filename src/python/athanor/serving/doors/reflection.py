"""Reflection, `grpc.reflection.v1` for new clients, and v1alpha for old ones: the messages are the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import grpc

from athanor.errors import AthanorError
from athanor.serving.doors.incoming import Incoming, parse, require_small
from grpc_reflection.v1alpha import reflection, reflection_pb2

REFLECTION_SERVICES: Final = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)

# Between two questions. Tools ask all they have at once, and then leave.
_IDLE_S: Final = 30.0

Admit = Callable[[Incoming, Any], Awaitable[None]]


def reflection_handlers(names: Iterable[str], admit: Admit) -> Iterator[Any]:
    """Handlers that describe services.

    Args:
        names: of the services.
        admit: called before anything is read; raises AthanorError, or aborts, for a caller who may not ask.
    """
    servicer: Any = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined,unused-ignore]  # no stubs for aio

    async def reflect(messages: object, context: Any) -> AsyncIterator[bytes]:
        incoming = Incoming("grpc", context)
        try:
            await admit(incoming, context)
            incoming.hold()
            async for response in servicer.ServerReflectionInfo(_read_all(incoming), context):
                yield response.SerializeToString()
        except AthanorError as error:
            await incoming.refuse(error)

    methods: dict[str, Any] = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(reflect)}
    for service in REFLECTION_SERVICES:
        yield grpc.method_handlers_generic_handler(service, methods)


async def _read_all(incoming: Incoming) -> AsyncIterator[Any]:
    while (content := await incoming.read_next(_IDLE_S, require_small)) is not None:
        yield parse(reflection_pb2.ServerReflectionRequest, content)
