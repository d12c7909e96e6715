"""A real service in this process that describes itself as a test scripts it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.contract import Contract
from athanor.contract.descriptors import from_descriptors, to_descriptors
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

V1: Final = "grpc.reflection.v1.ServerReflection"
V1_ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"

Reply: TypeAlias = Callable[[ServerReflectionRequest], ServerReflectionResponse | bytes]
Reflect: TypeAlias = Callable[[Iterator[ServerReflectionRequest], Any], Iterable[ServerReflectionResponse | bytes]]


@dataclass
class Described:
    """Answers reflection's questions about the contracts of models.

    Attributes:
        files: by name.
        sends_imports: whether a service's file comes with those that it imports.
        asked: questions so far.
    """

    services: Sequence[str]
    files: dict[str, FileDescriptorProto]
    sends_imports: bool = True
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, *contracts: Contract, sends_imports: bool = True) -> "Described":
        sets = [FileDescriptorSet.FromString(to_descriptors(contract)) for contract in contracts]
        services = [contract.service.full_name for contract in contracts]
        return cls(services, {file.name: file for found in sets for file in found.file}, sends_imports)

    @property
    def own(self) -> FileDescriptorProto:
        """The file of the first service, for changes."""
        return self._find_file(self.services[0])

    def reply(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        kind = str(question.WhichOneof("message_request"))
        self.asked.append(f"{kind} {getattr(question, kind)}")
        response = ServerReflectionResponse()
        if kind == "list_services":
            for name in (*self.services, "grpc.health.v1.Health", "inference.GRPCInferenceService", V1):
                response.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            response.file_descriptor_response.file_descriptor_proto.append(self._read(question.file_by_filename))
        else:
            own = self._find_file(question.file_containing_symbol).name
            names = [own, *self.files] if self.sends_imports else [own]
            response.file_descriptor_response.file_descriptor_proto.extend(map(self._read, names))
        return response

    def _read(self, name: str) -> bytes:
        return self.files[name].SerializeToString()

    def _find_file(self, service: str) -> FileDescriptorProto:
        package, _, name = service.rpartition(".")
        return next(
            file for file in self.files.values() if file.package == package and name in {s.name for s in file.service}
        )


def make_next_major(contract: Contract) -> Contract:
    """The same in the next proto package."""
    package = contract.service.file.package
    renamed = f"{package.partition('.')[0]}.v2"
    folder, renamed_folder = (name.replace(".", "/").encode() for name in (package, renamed))
    content = to_descriptors(contract).replace(folder, renamed_folder).replace(package.encode(), renamed.encode())
    names = contract.service.full_name, contract.outcome.full_name
    return from_descriptors(content, *(name.replace(package, renamed) for name in names))


def to_bytes(answer: ServerReflectionResponse | bytes) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


def one_by_one(reply: Reply) -> Reflect:
    return lambda questions, context: map(reply, questions)


@contextmanager
def reflecting(
    reflect: Reflect, *contracts: Contract, services: Sequence[str] = (V1,), seen: list[dict[str, Any]] | None = None
) -> Iterator[str]:
    """Gives the target of a service.

    Args:
        contracts: of the models that it serves: each prediction is empty, and of version 1.0.0.
        services: names by which it offers reflection.
        seen: gets the metadata of each call of reflection.
    """

    def handle(questions: Iterator[bytes], context: Any) -> Iterator[bytes]:
        if seen is not None:
            seen.append(dict(context.invocation_metadata()))
        yield from map(to_bytes, reflect(map(ServerReflectionRequest.FromString, questions), context))

    server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    method: Any = {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, method) for name in services])
    server.add_generic_rpc_handlers(list(map(_serve, contracts)))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def _serve(contract: Contract) -> Any:
    request_class: Any = GetMessageClass(contract.predict.input_type)
    response_class: Any = GetMessageClass(contract.predict.output_type)

    def predict(content: bytes, context: Any) -> bytes:
        rows = getattr(request_class.FromString(content), contract.rows_field.name)
        response = response_class(model_name=contract.name, semantic_version="1.0.0", variant="champion")
        for _ in rows:
            getattr(response, contract.predictions_field.name).add()
        return bytes(response.SerializeToString())

    methods: dict[str, Any] = {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    return grpc.method_handlers_generic_handler(contract.service.full_name, methods)
