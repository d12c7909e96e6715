"""Reflection, `grpc.reflection.v1` for new clients, and v1alpha for old ones: the messages are the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from athanor.errors import AthanorError
from athanor.serving.doors.incoming import Incoming, parse, require_small
from grpc_reflection.v1alpha import reflection, reflection_pb2

REFLECTION_SERVICES: Final = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)

Found = TypeVar("Found")

# Between two questions. Tools ask all they have at once, and then leave.
_IDLE_S: Final = 30.0

Admit = Callable[[Incoming, Any], Awaitable[None]]


@dataclass(frozen=True)
class Services:
    """Services to describe.

    Attributes:
        pools: have the files of the contracts, which stand in no generated code.
    """

    names: Sequence[str]
    pools: Sequence[DescriptorPool] = ()


class _Pools:
    """The lookups of a `DescriptorPool`, in several: the first that knows a name answers."""

    def __init__(self, *pools: DescriptorPool) -> None:
        self._pools = pools

    def _find(self, look_up: Callable[[DescriptorPool], Found]) -> Found:
        for pool in self._pools[:-1]:
            with suppress(KeyError):
                return look_up(pool)
        return look_up(self._pools[-1])

    def FindFileByName(self, name: str) -> FileDescriptor:  # noqa: N802 - protobuf's name
        return self._find(lambda pool: pool.FindFileByName(name))

    def FindFileContainingSymbol(self, name: str) -> FileDescriptor:  # noqa: N802
        return self._find(lambda pool: pool.FindFileContainingSymbol(name))

    def FindMessageTypeByName(self, name: str) -> Descriptor:  # noqa: N802
        return self._find(lambda pool: pool.FindMessageTypeByName(name))

    def FindExtensionByNumber(self, message: Descriptor, number: int) -> FieldDescriptor:  # noqa: N802
        return message.file.pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Descriptor) -> list[FieldDescriptor]:  # noqa: N802
        return message.file.pool.FindAllExtensions(message)


def reflection_handlers(describe: Callable[[], Services], admit: Admit) -> Iterator[Any]:
    """Handlers that describe services.

    Args:
        describe: returns what is served; called for each stream.
        admit: called before anything is read; raises AthanorError, or aborts, for a caller who may not ask.
    """

    async def reflect(messages: object, context: Any) -> AsyncIterator[bytes]:
        incoming = Incoming("grpc", context)
        try:
            await admit(incoming, context)
            incoming.hold()
            servicer = _make_servicer(describe())
            async for response in servicer.ServerReflectionInfo(_read_all(incoming), context):
                yield response.SerializeToString()
        except AthanorError as error:
            await incoming.refuse(error)

    methods: dict[str, Any] = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(reflect)}
    for service in REFLECTION_SERVICES:
        yield grpc.method_handlers_generic_handler(service, methods)


def _make_servicer(services: Services) -> Any:
    pools = _Pools(*services.pools, descriptor_pool.Default())
    return reflection.aio.ReflectionServicer(services.names, pools)  # type: ignore[attr-defined,unused-ignore]  # no stubs for aio


async def _read_all(incoming: Incoming) -> AsyncIterator[Any]:
    while (content := await incoming.read_next(_IDLE_S, require_small)) is not None:
        yield parse(reflection_pb2.ServerReflectionRequest, content)
