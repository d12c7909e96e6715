"""Whether a replica takes requests, for `grpc.health.v1` and the REST endpoints alike."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc

from grpc_health.v1 import health_pb2, health_pb2_grpc

HEALTH_SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_Response: Final = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
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

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        if request.service not in self._statuses:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"service {request.service!r} is not served here")
        return _Response(status=self._statuses[request.service])

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - gRPC's name
        last = None
        while True:
            changed, status = self._changed, self._statuses.get(request.service, _Response.SERVICE_UNKNOWN)
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
