"""What stands on a replica's gRPC server: the typed service of each project, inspection, health and reflection."""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from athanor.contract.contract import Contract
from athanor.features.features import Model
from athanor.inspection.v1 import inspection_pb2
from athanor.projects import find_projects, load

_INSPECTION = inspection_pb2.DESCRIPTOR.services_by_name["InspectionService"]
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"

# One for each process. Serve's fallback proxy has one too: it has no model, and never says that it serves.
_health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs know no aio
_health._server_status[""] = health_pb2.HealthCheckResponse.NOT_SERVING  # it starts as SERVING, and `set` is async


def add_services(servicer: Any, server: Any) -> None:
    """Adds all services. Serve calls it by its import path in every process that has a gRPC server.

    Serve answers a method from the deployment's method of the same name; what is passed through is answered by its own
    servicer.
    """
    contracts = [load(name, "model", Model).contract for name in find_projects("model")]
    answered = [*(contract.predict for contract in contracts), _INSPECTION.methods_by_name["ComputeFeatures"]]
    for method in answered:
        server.add_generic_rpc_handlers((_make_handler(method, servicer),))
    server.add_passthrough_service(HEALTH)
    health_pb2_grpc.add_HealthServicer_to_server(_health, server)
    server.add_passthrough_service(REFLECTION_V1)
    services = [method.containing_service.full_name for method in answered]
    names = [*services, HEALTH, REFLECTION_V1, reflection.SERVICE_NAME]
    server.add_generic_rpc_handlers((_reflection_handler(names),))


async def report_serving(contract: Contract) -> None:
    """Tells `grpc.health.v1` that this process answers."""
    for name in ("", contract.service.full_name, _INSPECTION.full_name):
        await _health.set(name, health_pb2.HealthCheckResponse.SERVING)


def _make_handler(method: MethodDescriptor, servicer: Any) -> Any:
    """What the generated `add_…Servicer_to_server` registers, for a service of one unary method."""
    handler = grpc.unary_unary_rpc_method_handler(
        getattr(servicer, method.name),
        request_deserializer=_lenient(GetMessageClass(method.input_type).FromString),
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
    return grpc.method_handlers_generic_handler(method.containing_service.full_name, {method.name: handler})


def _lenient(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Hands bytes that are no message on as the error, for the method to refuse: gRPC itself would say UNKNOWN."""

    def parse_or_return_error(content: bytes) -> Any:
        try:
            return parse(content)
        except DecodeError as error:
            return error

    return parse_or_return_error


def _reflection_handler(names: list[str]) -> Any:
    """`grpc.reflection.v1`, as new clients ask for it, beside the v1alpha that Serve registers: the same messages."""
    method = grpc.stream_stream_rpc_method_handler(
        ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(REFLECTION_V1, {"ServerReflectionInfo": method})
