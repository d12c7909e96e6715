"""The gRPC doors of a replica: the typed service, inspection, the Open Inference Protocol, health and reflection.

They stand on the replica's own server, which Serve starts and stops, and are answered without passing through Serve:
its request path costs two fifths of the throughput, and tells of its own errors in its own words.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from athanor.errors import AthanorError, InvalidRequestError, OverloadedError, ServiceError, TooLargeError
from athanor.features.features import Model
from athanor.inspection.v1 import inspection_pb2
from athanor.projects import find_projects, load
from athanor.serving.access.scope import Scope
from athanor.serving.answering.core import Core, Question
from athanor.serving.doors.handler import REQUEST_ID, Call, Reception, headers_of
from athanor.serving.formats import inference_messages, inspection, typed
from athanor.serving.formats.problems import to_grpc_code, to_rpc_status
from athanor.serving.setup.settings import ServingSettings
from inference import open_inference_pb2

_INSPECTION: Final = inspection_pb2.DESCRIPTOR.services_by_name["InspectionService"]
_INFERENCE: Final = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"

Metadata: TypeAlias = tuple[tuple[str, str], ...]
Reply: TypeAlias = tuple[Message, Metadata]
Method: TypeAlias = Callable[["GrpcDoors", bytes, Call], Awaitable[Reply]]

_NOBODY: Final = "no replica answers at the moment; ask again"

_logger = logging.getLogger(__name__)

# One for each process. Serve's fallback proxy has one too: it has no model, and never says that it serves.
_health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined,unused-ignore]  # the stubs know no aio
_health._server_status[""] = health_pb2.HealthCheckResponse.NOT_SERVING  # it starts as SERVING, and `set` is async


class GrpcDoors:
    """What the handlers of a replica do: each method takes a serialised request, and returns response and metadata."""

    def __init__(self, reception: Reception, settings: ServingSettings) -> None:
        self._reception = reception
        self._core: Core = reception.core
        self.settings = settings

    def require(self, call: Call) -> None:
        """Raises UnauthenticatedError or PermissionDeniedError if the caller may not ask."""
        self._reception.require(call.authorization, Scope.PREDICT)

    async def predict(self, content: bytes, call: Call) -> Reply:
        async def read() -> Question:
            return typed.to_question(self._core, typed.parse(self._core, self._check_size(content)), call.sticky_key)

        answer = await self._reception.answer(call, read)
        return typed.to_response(self._core, answer, call.request_id), headers_of(answer, call.request_id)

    async def compute_features(self, content: bytes, call: Call) -> Reply:
        async def read() -> Question:
            request = _parse(inspection_pb2.ComputeFeaturesRequest, self._check_size(content))
            return inspection.to_question(self._core, request, call.sticky_key)

        answer = await self._reception.answer(call, read)
        seen = inspection.inspect(self._core, answer, call.request_id)
        return inspection.to_message(seen), headers_of(answer, call.request_id)

    async def model_infer(self, content: bytes, call: Call) -> Reply:
        request = open_inference_pb2.ModelInferRequest()

        async def read() -> Question:
            request.MergeFrom(_parse(open_inference_pb2.ModelInferRequest, self._check_size(content)))
            return inference_messages.to_question(self._core, request, call.sticky_key)

        answer = await self._reception.answer(call, read)
        response = inference_messages.to_response(self._core, answer, request, call.request_id)
        return response, headers_of(answer, call.request_id)

    async def server_live(self, content: bytes, call: Call) -> Reply:
        return open_inference_pb2.ServerLiveResponse(live=True), ()

    async def server_ready(self, content: bytes, call: Call) -> Reply:
        return open_inference_pb2.ServerReadyResponse(ready=True), ()

    async def model_ready(self, content: bytes, call: Call) -> Reply:
        self.require(call)
        asked = _parse(open_inference_pb2.ModelReadyRequest, content)
        ready = inference_messages.is_ready(self._core, asked.name, asked.version)
        return open_inference_pb2.ModelReadyResponse(ready=ready), ()

    async def server_metadata(self, content: bytes, call: Call) -> Reply:
        self.require(call)
        return inference_messages.to_server_metadata(), ()

    async def model_metadata(self, content: bytes, call: Call) -> Reply:
        self.require(call)
        asked = _parse(open_inference_pb2.ModelMetadataRequest, content)
        return inference_messages.to_model_metadata(self._core, asked.name, asked.version), ()

    def _check_size(self, content: bytes) -> bytes:
        if len(content) > self.settings.max_message_bytes:
            most = self.settings.max_message_bytes
            raise TooLargeError(f"the message has {len(content)} bytes; send at most {most}")
        return content


def _parse(message_class: Any, content: bytes) -> Any:
    try:
        return message_class.FromString(content)
    except DecodeError as error:
        raise InvalidRequestError(f"the bytes are no {message_class.DESCRIPTOR.full_name}: {error}") from None


# Those of this process, once they are open. A process without a model never opens them.
_open: list[GrpcDoors] = []

_INFERENCE_METHODS: Final[dict[str, Method]] = {
    "ServerLive": GrpcDoors.server_live,
    "ServerReady": GrpcDoors.server_ready,
    "ModelReady": GrpcDoors.model_ready,
    "ServerMetadata": GrpcDoors.server_metadata,
    "ModelMetadata": GrpcDoors.model_metadata,
    "ModelInfer": GrpcDoors.model_infer,
}


async def open_doors(doors: GrpcDoors, service: ServiceDescriptor) -> None:
    """Lets the handlers of this process answer, and tells `grpc.health.v1` so."""
    _open[:] = [doors]
    for name in ("", service.full_name, _INSPECTION.full_name, _INFERENCE.full_name):
        await _health.set(name, health_pb2.HealthCheckResponse.SERVING)


def add_services(servicer: Any, server: Any) -> None:
    """Adds all services. Serve calls it by its import path in every process that has a gRPC server."""
    typed_services = [load(name, "model", Model).contract.predict for name in find_projects("model")]
    _add(server, _INSPECTION, "inspection", {"ComputeFeatures": GrpcDoors.compute_features})
    _add(server, _INFERENCE, "oip-grpc", _INFERENCE_METHODS)
    for predict in typed_services:
        _add(server, predict.containing_service, "grpc", {predict.name: GrpcDoors.predict})
    services = [service.full_name for service in (_INSPECTION, _INFERENCE, *map(_service_of, typed_services))]
    names = [*services, HEALTH, REFLECTION_V1, reflection.SERVICE_NAME]
    for name in names[len(services) :]:
        server.add_passthrough_service(name)
    # Before those that Serve adds to v1alpha: the first that knows a method answers.
    server.add_generic_rpc_handlers((_health_handler(), *_reflection_handlers(names)))


def _service_of(method: MethodDescriptor) -> ServiceDescriptor:
    return method.containing_service


def _add(server: Any, service: ServiceDescriptor, door: str, methods: dict[str, Method]) -> None:
    # Without this, Serve would put itself in the place of the handlers.
    server.add_passthrough_service(service.full_name)
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(_make_handler(door, m)) for name, m in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _make_handler(door: str, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A handler of serialised messages, which never lets gRPC say UNKNOWN of an error of ours."""

    async def handle(content: bytes, context: Any) -> bytes:
        if not _open:
            await context.abort(grpc.StatusCode.UNAVAILABLE, _NOBODY)
        doors = _open[0]
        most_s, left_s = doors.settings.max_deadline_s, context.time_remaining()
        timeout_s = most_s if left_s is None else min(left_s, most_s)
        call = Call.read(door, dict(context.invocation_metadata()), timeout_s)
        try:
            response, metadata = await method(doors, content, call)
        except AthanorError as error:
            await _refuse(context, error, call)
        except Exception:
            _logger.exception("request %s failed", call.request_id)
            await _refuse(context, ServiceError(f"the service failed at request {call.request_id}"), call)
        context.set_trailing_metadata(metadata)
        return response.SerializeToString()

    return handle


async def _refuse(context: Any, error: AthanorError, call: Call) -> NoReturn:
    status = to_rpc_status(error)
    metadata: list[tuple[str, str | bytes]] = [
        (REQUEST_ID, call.request_id),
        ("grpc-status-details-bin", status.SerializeToString()),
    ]
    if isinstance(error, OverloadedError):
        # The second is what gRPC's own retries wait for.
        metadata.append(("retry-after", f"{error.retry_after_s:g}"))
        metadata.append(("grpc-retry-pushback-ms", f"{error.retry_after_s * 1000:.0f}"))
    await context.abort(to_grpc_code(error), status.message, tuple(metadata))
    raise AssertionError("abort always raises")


async def _admit(context: Any) -> None:
    """Refuses who has no token."""
    if not _open:
        await context.abort(grpc.StatusCode.UNAVAILABLE, _NOBODY)
    call = Call.read("grpc", dict(context.invocation_metadata()), _open[0].settings.max_deadline_s)
    try:
        _open[0].require(call)
    except AthanorError as error:
        await _refuse(context, error, call)


async def _read_or_refuse(message_class: Any, content: bytes, context: Any) -> Any:
    """What the libraries' own handlers are given; left to gRPC, bytes that are no message would be UNKNOWN."""
    try:
        return _parse(message_class, content)
    except InvalidRequestError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


def _health_handler() -> Any:
    async def check(content: bytes, context: Any) -> Any:
        return await _health.Check(await _read_or_refuse(health_pb2.HealthCheckRequest, content, context), context)

    async def watch(content: bytes, context: Any) -> None:
        await _health.Watch(await _read_or_refuse(health_pb2.HealthCheckRequest, content, context), context)

    write = health_pb2.HealthCheckResponse.SerializeToString
    methods: dict[str, Any] = {
        "Check": grpc.unary_unary_rpc_method_handler(check, response_serializer=write),
        "Watch": grpc.unary_stream_rpc_method_handler(watch, response_serializer=write),
    }
    return grpc.method_handlers_generic_handler(HEALTH, methods)


def _reflection_handlers(names: list[str]) -> Iterator[Any]:
    """`grpc.reflection.v1`, as new clients ask for it, and v1alpha, as old ones do: the same messages."""
    servicer: Any = ReflectionServicer(names)  # the stubs have its method as a coroutine

    async def read(contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        async for content in contents:
            yield await _read_or_refuse(reflection_pb2.ServerReflectionRequest, content, context)

    async def reflect(contents: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        # What is offered is told to those who may use it.
        await _admit(context)
        async for response in servicer.ServerReflectionInfo(read(contents, context), context):
            yield response

    write = reflection_pb2.ServerReflectionResponse.SerializeToString
    methods: dict[str, Any] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(reflect, response_serializer=write)
    }
    for service in (REFLECTION_V1, reflection.SERVICE_NAME):
        yield grpc.method_handlers_generic_handler(service, methods)
