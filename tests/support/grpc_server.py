"""The gRPC doors on a server in the same process, as Serve starts it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from support.flights import make_columns, make_flight
from support.handlers import OpenHandler
from support.serving import make_request
from support.tensors import to_request

from athanor.cluster.grpc_options import server_options
from athanor.inspection.v1 import inspection_pb2
from athanor.serving.doors.grpc import add_services, close_doors, open_doors
from inference import open_inference_pb2 as oip

PREDICT: Final = "/delays.v1.DelaysService/Predict"
FEATURES: Final = "/athanor.inspection.v1.InspectionService/ComputeFeatures"
OIP: Final = "/inference.GRPCInferenceService/"
HEALTH: Final = "/grpc.health.v1.Health/Check"
REFLECTIONS: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
SERVICES: Final = ("delays.v1.DelaysService", "athanor.inspection.v1.InspectionService", OIP.strip("/"))

REQUEST: Final = make_request(make_flight(distance=1_000))
INSPECTION: Final = inspection_pb2.ComputeFeaturesRequest(request=REQUEST.SerializeToString())
TENSORS: Final = to_request(make_columns(3))
QUESTIONS: Final = ((PREDICT, REQUEST), (FEATURES, INSPECTION), (f"{OIP}ModelInfer", TENSORS))
METADATA: Final = (
    (f"{OIP}ModelReady", oip.ModelReadyRequest(name="delays")),
    (f"{OIP}ServerMetadata", oip.ServerMetadataRequest()),
    (f"{OIP}ModelMetadata", oip.ModelMetadataRequest(name="delays")),
)
ALIVE: Final = (
    (f"{OIP}ServerLive", oip.ServerLiveRequest()),
    (f"{OIP}ServerReady", oip.ServerReadyRequest()),
)

_PATIENCE_S: Final = 120.0
_MOST_BYTES: Final = 16 * 1024 * 1024


class ServeServer:
    """A grpc.aio server with the one method that Serve's own adds: it names services that Serve must not wrap."""

    def __init__(self) -> None:
        self._server = grpc.aio.server(options=server_options(_MOST_BYTES))
        self.passthrough: set[str] = set()

    def add_passthrough_service(self, name: str) -> None:
        self.passthrough.add(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class GrpcServer:
    """A running server, and a channel to it. Its doors are closed until a test opens them."""

    def __init__(
        self, port: int, channel: grpc.Channel, loop: asyncio.AbstractEventLoop, passthrough: set[str]
    ) -> None:
        self.port = port
        self.channel = channel
        self.passthrough = passthrough
        self._loop = loop

    def open(self, opened: OpenHandler) -> None:
        async def open_() -> None:
            open_doors(opened.handler)

        self.run(open_())

    def run(self, work: Any) -> Any:
        """Runs a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    def call(self, method: str, request: Any, response_class: Any = None, **options: Any) -> Any:
        """Calls a method by its path, with a message or raw bytes. Returns response and call."""
        content = request if isinstance(request, bytes) else request.SerializeToString()
        deserialise = response_class.FromString if response_class else None
        options = {"timeout": _PATIENCE_S, **options}
        ask: Any = self.channel.unary_unary(method, None, deserialise)
        return ask.with_call(content, **options)


@contextmanager
def serve_grpc() -> Iterator[GrpcServer]:
    """Runs a server on a free port, in a thread of its own."""
    ready, parts = threading.Event(), list[Any]()
    stop = threading.Event()

    async def main() -> None:
        server = ServeServer()
        add_services(None, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        parts.extend((asyncio.get_running_loop(), port, server.passthrough))
        ready.set()
        await asyncio.to_thread(stop.wait)
        close_doors()
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="grpc-server")
    thread.start()
    try:
        assert ready.wait(_PATIENCE_S)
        loop, port, passthrough = parts
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_receive_message_length", -1)]) as channel:
            yield GrpcServer(port, channel, loop, passthrough)
    finally:
        stop.set()
        thread.join()
