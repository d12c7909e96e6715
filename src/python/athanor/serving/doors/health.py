"""Whether a replica takes requests, for `grpc.health.v1` and the REST endpoints alike."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc

from athanor.errors import AthanorError, NotFoundError
from athanor.serving.doors.incoming import Incoming, parse
from athanor.serving.doors.shares import Shares
from grpc_health.v1 import health_pb2

HEALTH_SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_Response: Final = health_pb2.HealthCheckResponse

# Room for 1,800 calls of `Watch`, half of them on one connection. They last as long as their callers want, and need no
# token: they take no room of others' answers.
_WATCHES: Final = Shares(32 * 1024 * 1024, "calls of Watch")


class Health:
    """The health of one process. It starts as NOT_SERVING, and serves from `serve` until `drain`.

    grpcio-health-checking's own servicer starts as SERVING, and changes only by coroutines.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, Any] = {"": _Response.NOT_SERVING}
        self._changed = asyncio.Event()
        self._drains = False

    @property
    def is_serving(self) -> bool:
        return bool(self._statuses[""] == _Response.SERVING)

    def serve(self, services: Iterable[str] = ()) -> None:
        """Reports SERVING for the process and its gRPC services."""
        self._drains = False
        self._set(("", *services), _Response.SERVING)

    def add(self, services: Iterable[str]) -> None:
        """Reports for more services what holds for the process."""
        self._set(services, self._statuses[""])

    def forget(self, services: Iterable[str]) -> None:
        """Forgets these services. Their watchers get SERVICE_UNKNOWN."""
        for service in services:
            self._statuses.pop(service, None)
        self._set((), _Response.NOT_SERVING)

    def drain(self) -> None:
        """Reports NOT_SERVING, though requests are still answered: callers go elsewhere before the servers close."""
        self._drains = True
        self._set(self._statuses, _Response.NOT_SERVING)

    def close(self) -> None:
        """Reports NOT_SERVING until `serve`, as at first."""
        self._drains = False
        self._set(self._statuses, _Response.NOT_SERVING)

    def _set(self, services: Iterable[str], status: Any) -> None:
        self._statuses |= dict.fromkeys(services, status)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def check(self, service: str) -> health_pb2.HealthCheckResponse:
        """Raises NotFoundError for a service that this process does not have."""
        if service not in self._statuses:
            raise NotFoundError(f"service {service!r} is not served here")
        return _Response(status=self._statuses[service])

    async def watch(self, service: str) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yields the status of a service now, and after each change."""
        last = None
        while True:
            changed, status = self._changed, self._statuses.get(service, _Response.SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield _Response(status=status)
            elif self._drains:
                # The server waits for its last stream before it stops, and no other news follows.
                return
            else:
                await changed.wait()


HEALTH: Final = Health()
"""The health of this process. Serve starts its gRPC server before there is a replica, and some have none ever."""


def health_handler() -> Any:
    """The handler of `grpc.health.v1`. It needs no token."""
    methods: dict[str, Any] = {
        "Check": grpc.stream_unary_rpc_method_handler(_check),
        "Watch": grpc.stream_stream_rpc_method_handler(_watch),
    }
    return grpc.method_handlers_generic_handler(HEALTH_SERVICE, methods)


async def _check(messages: object, context: Any) -> bytes:
    incoming = Incoming("grpc", context)
    try:
        asked = parse(health_pb2.HealthCheckRequest, await incoming.read_small())
        return incoming.write(HEALTH.check(asked.service))
    except AthanorError as error:
        await incoming.refuse(error)


async def _watch(messages: object, context: Any) -> AsyncIterator[bytes]:
    incoming = Incoming("grpc", context, _WATCHES)
    try:
        incoming.hold()
        asked = parse(health_pb2.HealthCheckRequest, await incoming.read_small())
        async for response in HEALTH.watch(asked.service):
            yield response.SerializeToString()
    except AthanorError as error:
        await incoming.refuse(error)
