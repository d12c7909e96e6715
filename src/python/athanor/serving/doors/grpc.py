"""The gRPC doors of a replica: the typed service, inspection, the Open Inference Protocol, health and reflection.

They run on the replica's own gRPC server, which Serve starts and stops, but bypass Serve's request path: it costs two
fifths of the throughput, and words errors its own way.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from athanor.contract.shown import shown
from athanor.errors import AthanorError, ServiceError
from athanor.inspection.v1 import inspection_pb2
from athanor.serving.doors.handler import Exchange, RequestHandler, headers_of
from athanor.serving.doors.health import HEALTH, HEALTH_SERVICE, health_handler
from athanor.serving.doors.incoming import Incoming, Transit, parse
from athanor.serving.doors.models.served import ServedModel, ServedModels
from athanor.serving.doors.reflection import REFLECTION_SERVICES, Services, reflection_handlers
from athanor.serving.formats import inference_messages, inspection, repository, typed
from athanor.serving.formats.answers import ROWS_A_TURN
from inference import open_inference_pb2

_INSPECTION: Final = inspection_pb2.DESCRIPTOR.services_by_name["InspectionService"]
_INFERENCE: Final = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]

Metadata: TypeAlias = tuple[tuple[str, str], ...]
Reply: TypeAlias = tuple[bytes, Metadata]
Method: TypeAlias = Callable[["GrpcDoors", Incoming], Awaitable[Reply]]

_Administrative = TypeVar(
    "_Administrative", open_inference_pb2.RepositoryModelLoadRequest, open_inference_pb2.RepositoryModelUnloadRequest
)

_UNAVAILABLE: Final = "no replica takes requests now; retry"
# What a replica holds for all callers: sixteen of the largest requests, if they are slow; thousands of unread answers.
_SLOW_BYTES: Final = 256 * 1024 * 1024
_UNREAD_BYTES: Final = 128 * 1024 * 1024

_logger = logging.getLogger(__name__)


class GrpcDoors:
    """The methods of a replica. Each answers a call with a serialised response and metadata."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler
        self._transit = Transit(_SLOW_BYTES, _UNREAD_BYTES)
        self.loop = asyncio.get_running_loop()

    @property
    def models(self) -> ServedModels:
        return self._handler.models

    def require_token(self, incoming: Incoming) -> None:
        """Counts a call among those that may ask.

        Raises:
            UnauthenticatedError, PermissionDeniedError: the caller may not ask.
        """
        self._handler.require_token(incoming.call.authorization, incoming.call.door)
        self._trust(incoming)

    async def predict(self, incoming: Incoming, model: str) -> Reply:
        """A call of the own method of a model."""
        call = incoming.call
        with self._handler.admit(call, model) as exchange:
            interface = exchange.model.interface
            content = await self._read(incoming, exchange)
            answer = await exchange.answer(await exchange.take_turns(typed.read(interface, content, call.sticky_key)))
            if answer.count <= ROWS_A_TURN:
                response = typed.to_response(interface, answer, call.request_id)
            else:
                response = await exchange.take_turns(typed.write(interface, answer, call.request_id))
            return incoming.write(response), headers_of(answer, call.request_id)

    async def refuse_method(self, incoming: Incoming, method: str) -> Reply:
        """A call of what could be the own method of a model, and is not."""
        with self._handler.admit(incoming.call):
            raise self.models.not_found(f"no model has the method {shown(method)}")

    async def compute_features(self, incoming: Incoming) -> Reply:
        call = incoming.call
        with self._handler.admit(call) as exchange:
            request = await exchange.take_turns(inspection.parse(await self._read(incoming, exchange)))
            interface = exchange.choose(request.model_name).interface
            answer = await exchange.answer(
                await exchange.take_turns(inspection.read(interface, request, call.sticky_key))
            )
            seen = inspection.inspect(interface, answer, call.request_id)
            response = await exchange.take_turns(inspection.to_message(seen))
            return incoming.write(response), headers_of(answer, call.request_id)

    async def model_infer(self, incoming: Incoming) -> Reply:
        call = incoming.call
        with self._handler.admit(call) as exchange:
            content = await self._read(incoming, exchange)
            name = await exchange.take_turns(inference_messages.read_model_name(content))
            interface = exchange.choose(name).interface
            request = await exchange.take_turns(inference_messages.read(interface, content, call.sticky_key))
            answer = await exchange.answer(request.question)
            work = inference_messages.to_response(interface, answer, request, call.request_id)
            response = await exchange.take_turns(work)
            return incoming.write(response), headers_of(answer, call.request_id)

    async def _read(self, incoming: Incoming, exchange: Exchange) -> bytes:
        """Reads the message of a caller that the exchange let in."""
        self._trust(incoming)
        return await incoming.read(exchange.remaining_s, exchange.receive)

    def _trust(self, incoming: Incoming) -> None:
        handler, authorization = self._handler, incoming.call.authorization
        # However its header is written, a token is one caller. Without tokens a header says nothing.
        caller = authorization.split()[-1] if handler.tokens and authorization else None
        incoming.trust(caller, self._transit, handler.settings.max_message_bytes)

    async def server_live(self, incoming: Incoming) -> Reply:
        await incoming.read_small()
        return incoming.write(open_inference_pb2.ServerLiveResponse(live=True)), ()

    async def server_ready(self, incoming: Incoming) -> Reply:
        await incoming.read_small()
        return incoming.write(open_inference_pb2.ServerReadyResponse(ready=HEALTH.is_serving)), ()

    async def model_ready(self, incoming: Incoming) -> Reply:
        self.require_token(incoming)
        asked = parse(open_inference_pb2.ModelReadyRequest, await incoming.read_small())
        self._require_model(incoming, asked.name)
        ready = self.models.is_ready(asked.name, asked.version)
        return incoming.write(open_inference_pb2.ModelReadyResponse(ready=ready)), ()

    async def server_metadata(self, incoming: Incoming) -> Reply:
        self.require_token(incoming)
        await incoming.read_small()
        return incoming.write(inference_messages.to_server_metadata()), ()

    async def model_metadata(self, incoming: Incoming) -> Reply:
        self.require_token(incoming)
        asked = parse(open_inference_pb2.ModelMetadataRequest, await incoming.read_small())
        self._require_model(incoming, asked.name)
        traffic = self.models.find(asked.name).core.traffic
        return incoming.write(inference_messages.to_model_metadata(traffic, asked.version)), ()

    async def list_models(self, incoming: Incoming) -> Reply:
        self.require_token(incoming)
        asked = parse(open_inference_pb2.RepositoryIndexRequest, await incoming.read_small())
        repository.check_repository(asked.repository_name)
        states = self._handler.list_states(incoming.call.authorization, incoming.call.door)
        return incoming.write(repository.to_index(repository.list_models(states, asked.ready))), ()

    async def load_model(self, incoming: Incoming) -> Reply:
        asked = await self._read_administrative(incoming, open_inference_pb2.RepositoryModelLoadRequest)
        repository.check_parameters(asked.parameters)
        await self._handler.load(asked.model_name)
        return incoming.write(open_inference_pb2.RepositoryModelLoadResponse()), ()

    async def unload_model(self, incoming: Incoming) -> Reply:
        asked = await self._read_administrative(incoming, open_inference_pb2.RepositoryModelUnloadRequest)
        await self._handler.unload(asked.model_name)
        return incoming.write(open_inference_pb2.RepositoryModelUnloadResponse()), ()

    async def _read_administrative(self, incoming: Incoming, request_class: type[_Administrative]) -> _Administrative:
        """Reads a request of a caller who may load and unload the model that it names."""
        authorization, door = incoming.call.authorization, "repository"
        self._handler.require_scope(authorization, door)
        self._trust(incoming)
        asked = parse(request_class, await incoming.read_small())
        self._handler.require_token(authorization, door, asked.model_name)
        repository.check_repository(asked.repository_name)
        return asked

    def _require_model(self, incoming: Incoming, model: str) -> None:
        """Raises PermissionDeniedError if the caller may not ask this model."""
        self._handler.require_token(incoming.call.authorization, incoming.call.door, model)


_INFERENCE_METHODS: Final[dict[str, Method]] = {
    "ServerLive": GrpcDoors.server_live,
    "ServerReady": GrpcDoors.server_ready,
    "ModelReady": GrpcDoors.model_ready,
    "ServerMetadata": GrpcDoors.server_metadata,
    "ModelMetadata": GrpcDoors.model_metadata,
    "ModelInfer": GrpcDoors.model_infer,
    "RepositoryIndex": GrpcDoors.list_models,
    "RepositoryModelLoad": GrpcDoors.load_model,
    "RepositoryModelUnload": GrpcDoors.unload_model,
}

# The doors of this process, once they are open. Serve calls `add_services` by its import path before a replica exists,
# and in its fallback proxy too, which has no model: there they never open.
_open: list[GrpcDoors] = []


def open_doors(handler: RequestHandler) -> None:
    """Lets the gRPC services of this process answer, and its health say so."""
    _open[:] = [GrpcDoors(handler)]
    HEALTH.serve([_INSPECTION.full_name, _INFERENCE.full_name, *map(_name_service, handler.models)])


def report_model(model: ServedModel, *, is_serving: bool) -> None:
    """Reports the health of a model's own service. Call it on any thread, once the doors are open or before."""
    for doors in _open:
        report = HEALTH.add if is_serving else HEALTH.forget
        doors.loop.call_soon_threadsafe(report, [_name_service(model)])


def _name_service(model: ServedModel) -> str:
    name: str = model.interface.contract.service.full_name
    return name


def close_doors() -> None:
    """Lets the gRPC services of this process refuse every request."""
    HEALTH.close()
    _open.clear()


def add_services(servicer: Any, server: Any) -> None:
    """Adds all services. Serve calls it by its import path in every process that has a gRPC server."""
    _add(server, _INSPECTION, "inspection", {"ComputeFeatures": GrpcDoors.compute_features})
    _add(server, _INFERENCE, "oip-grpc", _INFERENCE_METHODS)
    for name in (HEALTH_SERVICE, *REFLECTION_SERVICES):
        server.add_passthrough_service(name)
    # Before Serve adds its own for v1alpha: the first handler that knows a method answers. Serve looks at the first of
    # a group alone, and lets the others be.
    reflection = reflection_handlers(_describe_services, _require_token)
    server.add_generic_rpc_handlers((health_handler(), *reflection, _TypedHandler()))


def _describe_services() -> Services:
    names = [_INSPECTION.full_name, _INFERENCE.full_name, HEALTH_SERVICE, *REFLECTION_SERVICES]
    services = [model.interface.contract.service for doors in _open for model in doors.models]
    return Services([*(service.full_name for service in services), *names], [service.file.pool for service in services])


def _add(server: Any, service: ServiceDescriptor, door: str, methods: dict[str, Method]) -> None:
    # Otherwise Serve wraps the handlers with its own request path.
    server.add_passthrough_service(service.full_name)
    handlers = {name: _stream_handler(door, method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _stream_handler(door: str, method: Method) -> Any:
    # A handler of unary requests would be called once the request has been read, which takes the caller's time and the
    # replica's memory before anything is known about the caller. To callers it looks the same.
    return grpc.stream_unary_rpc_method_handler(_make_handler(door, method))


class _TypedHandler(grpc.GenericRpcHandler):  # type: ignore[type-arg,unused-ignore]  # no generic class at run time
    """Finds the own method of a model when it is called: models come and go."""

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a method; None for one that no contract could have."""
        method: str = handler_call_details.method
        model = _open[0].models.find_path(method) if _open else None
        if model:
            return _typed_handler(model.name)
        # Without it gRPC would refuse the caller of a withdrawn model, and say nothing of models.
        refuse = partial(GrpcDoors.refuse_method, method=method)
        return _stream_handler("grpc", refuse) if method.endswith("/Predict") else None


@lru_cache(maxsize=1024)
def _typed_handler(model: str) -> Any:
    return _stream_handler("grpc", partial(GrpcDoors.predict, model=model))


def _make_handler(door: str, method: Method) -> Callable[[object, Any], Awaitable[bytes]]:
    """A handler of serialised messages. It catches every error: gRPC would report it as UNKNOWN."""

    async def handle(messages: object, context: Any) -> bytes:
        await _require_open(context)
        incoming = Incoming(door, context)
        try:
            response, metadata = await method(_open[0], incoming)
        except AthanorError as error:
            failure = error
        except Exception:
            request_id = incoming.call.request_id
            _logger.exception("request %s failed", request_id)
            failure = ServiceError(f"the service failed at request {request_id}")
        else:
            context.set_trailing_metadata(metadata)
            return response
        # Not in a handler of errors: what is raised here would keep the error, its frames and the message in them, in a
        # circle that waits for the garbage collector.
        return await incoming.refuse(_without_frames(failure))

    return handle


def _without_frames(error: AthanorError) -> AthanorError:
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


async def _require_open(context: Any) -> None:
    if not _open:
        await context.abort(grpc.StatusCode.UNAVAILABLE, _UNAVAILABLE)


async def _require_token(incoming: Incoming, context: Any) -> None:
    """Refuses a stream of a caller without a token."""
    await _require_open(context)
    _open[0].require_token(incoming)
