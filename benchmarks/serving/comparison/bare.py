"""A bare `grpc.aio` server around our core: the limit of gRPC in Python."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import grpc

from projects.flight_delay.model import MODEL
from serving.comparison.ours import CoreAlone, make_core

# Ray brings it, and runs replicas by it.
try:
    from uvloop import run
except ImportError:
    from asyncio import run  # type: ignore[assignment]  # it takes more, and is given the same


async def serve(core: CoreAlone, port: int) -> None:
    async def predict(content: bytes, context: Any) -> bytes:
        return core.answer_message(content)

    method = MODEL.contract.predict
    handlers: dict[str, Any] = {method.name: grpc.unary_unary_rpc_method_handler(predict)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(method.containing_service.full_name, handlers),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("port", type=int)
    options = parser.parse_args()
    run(serve(make_core(MODEL.contract, options.store), options.port))
