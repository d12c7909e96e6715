"""What a client asks a service's reflection to learn the method `Predict` of a model. Sends nothing itself."""

import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from athanor.client.contract.descriptors import DescriptorFiles
from athanor.client.contract.method import PredictMethod, package_of
from athanor.errors import ModelNotFoundError, ServiceError
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

Dialogue: TypeAlias = Generator[bytes, bytes, PredictMethod]

# As `DelaysService` of `delays.v1`; not a protocol's, such as `grpc.health.v1.Health`.
_SERVICE: Final = re.compile(
    r"(?P<package>(?P<project>[a-z_][a-z0-9_]{0,99})\.v(?P<major>[1-9][0-9]{0,3}))\.\w{1,200}", re.ASCII
)
# A model has one.
_MOST_SERVICES: Final = 16
_MOST_NAMED: Final = 20


def find_predict(model: str) -> Dialogue:
    """Yields one question at a time, and expects its answer to be sent back.

    Returns:
        The model's method.

    Raises:
        ModelNotFoundError: the service does not serve the model.
        NotFoundError: the text cannot be a model's name.
        ServiceError: the service describes itself in a way that cannot be used.
    """
    package = package_of(model)
    known = _read_services((yield _ask(list_services="*")))
    services = sorted(name for name, found in known.items() if found["package"] == package)
    if not services:
        raise _make_not_served(model, known.values())
    if len(services) > _MOST_SERVICES:
        raise ServiceError(f"the service has {len(services)} services of package {package}; a model has one")
    files = DescriptorFiles()
    for service in services:
        described = _read_files((yield _ask(file_containing_symbol=service)))
        if not described:
            raise ModelNotFoundError(f"the service lists {service} without describing it; it may be loading or leaving")
        files.add(described)
    while missing := files.missing:
        files.add(_read_files((yield _ask(file_by_filename=missing[0]))))
        if missing[0] in files.missing:
            raise ServiceError(f"the service describes its contract without {missing[0][:200]!r}, which it imports")
    return PredictMethod.of(files.find_predict(services))


def _ask(**question: str) -> bytes:
    return ServerReflectionRequest(**question).SerializeToString()  # type: ignore[arg-type]


def _read_files(answer: bytes) -> Sequence[bytes]:
    """Files of an answer; none if the service does not know what it was asked for."""
    response = _read(answer)
    if response.HasField("error_response"):
        code = response.error_response.error_code
        if code != grpc.StatusCode.NOT_FOUND.value[0]:
            raise ServiceError(f"the service's reflection refused a question with gRPC code {code}")
        return ()
    files: Sequence[bytes] = response.file_descriptor_response.file_descriptor_proto
    return files


def _read_services(answer: bytes) -> dict[str, re.Match[str]]:
    """Services in a package of a model, by name."""
    names = [service.name for service in _read(answer).list_services_response.service]
    return {name: found for name in names if (found := _SERVICE.fullmatch(name))}


def _read(answer: bytes) -> Any:
    try:
        return ServerReflectionResponse.FromString(answer)
    except DecodeError:
        raise ServiceError("the service's reflection sent an answer that cannot be read") from None


def _make_not_served(model: str, known: Iterable[re.Match[str]]) -> ModelNotFoundError:
    names = sorted({found["project"] if found["major"] == "1" else found["package"] for found in known})
    if not names:
        return ModelNotFoundError(f"the service does not serve model {model!r}; it serves no model yet")
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ModelNotFoundError(
        f"the service does not serve model {model!r}; it serves {', '.join(names[:_MOST_NAMED])}{more}"
    )
