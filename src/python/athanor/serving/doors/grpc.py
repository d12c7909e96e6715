"""The gRPC doors of a replica: the typed service, inspection, the Open Inference Protocol, health and reflection.

They run on the replica's own gRPC server, which Serve starts and stops, but bypass Serve's request path: it costs two
fifths of the throughput, and words errors its own way.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError

from athanor.errors import AthanorError, InvalidRequestError, OverloadedError, ServiceError
from athanor.features.features import Model
from athanor.inspection.v1 import inspection_pb2
from athanor.projects import find_projects, load
from athanor.serving.answering.core import Core
from athanor.serving.doors.handler import REQUEST_ID, Call, RequestHandler, headers_of
from athanor.serving.doors.health import HEALTH, HEALTH_SERVICE
from athanor.serving.formats import inference, inference_messages, inspection, typed
from athanor.serving.formats.problems import to_grpc_code, to_rpc_status
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from inference import open_inference_pb2

_INSPECTION: Final = inspection_pb2.DESCRIPTOR.services_by_name["InspectionService"]
_INFERENCE: Final = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"

Metadata: TypeAlias = tuple[tuple[str, str], ...]
Reply: TypeAlias = tuple[bytes, Metadata]
Method: TypeAlias = Callable[["GrpcDoors", bytes, Call], Awaitable[Reply]]

_UNAVAILABLE: Final = "no replica takes requests now; retry"

_logger = logging.getLogger(__name__)


class GrpcDoors:
    """The methods of a replica. Each takes a serialised request, and returns a serialised response with metadata."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._core: Core = handler.core

    def require_token(self, call: Call) -> None:
        """Raises UnauthenticatedError or PermissionDeniedError if the caller may not ask."""
        self._handler.require_token(call.authorization)

    async def predict(self, content: bytes, call: Call) -> Reply:
        core = self._core
        with self._handler.admit(call) as exchange:
            exchange.receive(len(content))
            answer = await exchange.answer(typed.to_question(core, typed.parse(core, content), call.sticky_key))
            response = typed.to_response(core, answer, call.request_id)
            return response.SerializeToString(), headers_of(answer, call.request_id)

    async def compute_features(self, content: bytes, call: Call) -> Reply:
        core = self._core
        with self._handler.admit(call) as exchange:
            exchange.receive(len(content))
            request = _parse(inspection_pb2.ComputeFeaturesRequest, content)
            answer = await exchange.answer(inspection.to_question(core, request, call.sticky_key))
            response = inspection.to_message(inspection.inspect(core, answer, call.request_id))
            return response.SerializeToString(), headers_of(answer, call.request_id)

    async def model_infer(self, content: bytes, call: Call) -> Reply:
        core = self._core
        with self._handler.admit(call) as exchange:
            exchange.receive(len(content))
            request = _parse(open_inference_pb2.ModelInferRequest, content)
            answer = await exchange.answer(inference_messages.to_question(core, request, call.sticky_key))
            response = inference_messages.to_response(core, answer, request, call.request_id)
            return response.SerializeToString(), headers_of(answer, call.request_id)

    async def server_live(self, content: bytes, call: Call) -> Reply:
        return open_inference_pb2.ServerLiveResponse(live=True).SerializeToString(), ()

    async def server_ready(self, content: bytes, call: Call) -> Reply:
        return open_inference_pb2.ServerReadyResponse(ready=HEALTH.is_serving).SerializeToString(), ()

    async def model_ready(self, content: bytes, call: Call) -> Reply:
        self.require_token(call)
        asked = _parse(open_inference_pb2.ModelReadyRequest, content)
        ready = inference.is_ready(self._core, asked.name, asked.version)
        return open_inference_pb2.ModelReadyResponse(ready=ready).SerializeToString(), ()

    async def server_metadata(self, content: bytes, call: Call) -> Reply:
        self.require_token(call)
        return inference_messages.to_server_metadata().SerializeToString(), ()

    async def model_metadata(self, content: bytes, call: Call) -> Reply:
        self.require_token(call)
        asked = _parse(open_inference_pb2.ModelMetadataRequest, content)
        return inference_messages.to_model_metadata(self._core, asked.name, asked.version).SerializeToString(), ()


def _parse(message_class: Any, content: bytes) -> Any:
    try:
        return message_class.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"the bytes are not a valid {message_class.DESCRIPTOR.full_name}: {error}") from None


_INFERENCE_METHODS: Final[dict[str, Method]] = {
    "ServerLive": GrpcDoors.server_live,
    "ServerReady": GrpcDoors.server_ready,
    "ModelReady": GrpcDoors.model_ready,
    "ServerMetadata": GrpcDoors.server_metadata,
    "ModelMetadata": GrpcDoors.model_metadata,
    "ModelInfer": GrpcDoors.model_infer,
}

# The doors of this process, once they are open. Serve calls `add_services` by its import path before a replica exists,
# and in its fallback proxy too, which has no model: there they never open.
_open: list[GrpcDoors] = []


def open_doors(handler: RequestHandler) -> None:
    """Lets the gRPC services of this process answer, and its health say so."""
    _open[:] = [GrpcDoors(handler)]
    HEALTH.serve(service.full_name for service in (handler.core.contract.service, _INSPECTION, _INFERENCE))


def close_doors() -> None:
    """Lets the gRPC services of this process refuse every request."""
    HEALTH.close()
    _open.clear()


def add_services(servicer: Any, server: Any) -> None:
    """Adds all services. Serve calls it by its import path in every process that has a gRPC server."""
    methods = [load(name, "model", Model).contract.predict for name in find_projects("model")]
    _add(server, _INSPECTION, "inspection", {"ComputeFeatures": GrpcDoors.compute_features})
    _add(server, _INFERENCE, "oip-grpc", _INFERENCE_METHODS)
    for predict in methods:
        _add(server, predict.containing_service, "grpc", {predict.name: GrpcDoors.predict})
    served = (_INSPECTION, _INFERENCE, *(predict.containing_service for predict in methods))
    libraries = (HEALTH_SERVICE, REFLECTION_V1, reflection.SERVICE_NAME)
    for name in libraries:
        server.add_passthrough_service(name)
    names = [*(service.full_name for service in served), *libraries]
    # Before Serve adds its own for v1alpha: the first handler that knows a method answers.
    server.add_generic_rpc_handlers((_health_handler(), *_reflection_handlers(names)))


def _add(server: Any, service: ServiceDescriptor, door: str, methods: dict[str, Method]) -> None:
    # Otherwise Serve wraps the handlers with its own request path.
    server.add_passthrough_service(service.full_name)
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(_make_handler(door, m)) for name, m in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _make_handler(door: str, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A handler of serialised messages. It catches every error: gRPC would report it as UNKNOWN."""

    async def handle(content: bytes, context: Any) -> bytes:
        if not _open:
            await context.abort(grpc.StatusCode.UNAVAILABLE, _UNAVAILABLE)
        call = Call.read(door, dict(context.invocation_metadata()), context.time_remaining())
        try:
            response, metadata = await method(_open[0], content, call)
        except AthanorError as error:
            await _refuse(context, error, call)
        except Exception:
            _logger.exception("request %s failed", call.request_id)
            await _refuse(context, ServiceError(f"the service failed at request {call.request_id}"), call)
        context.set_trailing_metadata(metadata)
        return response

    return handle


async def _refuse(context: Any, error: AthanorError, call: Call) -> NoReturn:
    status = to_rpc_status(error)
    metadata: list[tuple[str, str | bytes]] = [
        (REQUEST_ID, call.request_id),
        ("grpc-status-details-bin", status.SerializeToString()),
    ]
    if isinstance(error, OverloadedError):
        # gRPC's own retries wait for the second.
        metadata.append(("retry-after", f"{error.retry_after_s:g}"))
        metadata.append(("grpc-retry-pushback-ms", f"{error.retry_after_s * 1000:.0f}"))
    await context.abort(to_grpc_code(error), status.message, tuple(metadata))
    raise AssertionError("abort always raises")


async def _require_token(context: Any) -> None:
    """Refuses a stream of a caller without a token."""
    if not _open:
        await context.abort(grpc.StatusCode.UNAVAILABLE, _UNAVAILABLE)
    call = Call.read("grpc", dict(context.invocation_metadata()))
    try:
        _open[0].require_token(call)
    except AthanorError as error:
        await _refuse(context, error, call)


async def _parse_or_abort(message_class: Any, content: bytes, context: Any) -> Any:
    """A request to a library's servicer. gRPC itself would report malformed bytes as UNKNOWN."""
    try:
        return _parse(message_class, content)
    except InvalidRequestError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def _health_handler() -> Any:
    async def check(content: bytes, context: Any) -> Any:
        return await HEALTH.Check(await _parse_or_abort(health_pb2.HealthCheckRequest, content, context), context)

    async def watch(content: bytes, context: Any) -> AsyncIterator[Any]:
        request = await _parse_or_abort(health_pb2.HealthCheckRequest, content, context)
        async for response in HEALTH.Watch(request, context):
            yield response

    write = health_pb2.HealthCheckResponse.SerializeToString
    methods: dict[str, Any] = {
        "Check": grpc.unary_unary_rpc_method_handler(check, response_serializer=write),
        "Watch": grpc.unary_stream_rpc_method_handler(watch, response_serializer=write),
    }
    return grpc.method_handlers_generic_handler(HEALTH_SERVICE, methods)


def _reflection_handlers(names: Iterable[str]) -> Iterator[Any]:
    """`grpc.reflection.v1` for new clients, and v1alpha for old ones: the messages are the same."""
    servicer: Any = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined,unused-ignore]  # no stubs for aio

    async def read(contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        async for content in contents:
            yield await _parse_or_abort(reflection_pb2.ServerReflectionRequest, content, context)

    async def reflect(contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        await _require_token(context)
        async for response in servicer.ServerReflectionInfo(read(contents, context), context):
            yield response

    write = reflection_pb2.ServerReflectionResponse.SerializeToString
    methods: dict[str, Any] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(reflect, response_serializer=write)
    }
    for service in (REFLECTION_V1, reflection.SERVICE_NAME):
        yield grpc.method_handlers_generic_handler(service, methods)
