"""Descriptor files that a service sends: collected within bounds, checked, and kept in a pool of their own."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

from google.protobuf import descriptor_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message

from athanor.client.contract.method import PREDICT, AnsweredBy
from athanor.errors import ServiceError

# A contract has four files: its own, the options of columns and two of protobuf's.
_MOST_FILES: Final = 256
# Taken from here: protobuf's library has code for these types, and relies on their fields.
_OWN: Final = (descriptor_pb2.DESCRIPTOR, timestamp_pb2.DESCRIPTOR)


class DescriptorFiles:
    """Files of a service's contract. Add what the service sends until no file is missing."""

    def __init__(self) -> None:
        self._files = {file.name: _to_proto(file) for file in _OWN}
        self._imports: dict[str, Sequence[str]] = {file.name: () for file in _OWN}

    def add(self, contents: Iterable[bytes]) -> None:
        """Adds serialized files that are not there yet.

        Raises:
            ServiceError: one is not readable, or there are too many.
        """
        for content in contents:
            file = _read(content)
            if file.name not in self._files:
                self._files[file.name], self._imports[file.name] = file, tuple(file.dependency)
        if len(self._files) + len(self.missing) > _MOST_FILES:
            raise ServiceError(f"the service describes its contract by more than {_MOST_FILES} files")

    @property
    def missing(self) -> Sequence[str]:
        """Names of imported files that were not added yet, sorted."""
        return sorted({name for imports in self._imports.values() for name in imports} - self._files.keys())

    def find_predict(self, services: Sequence[str]) -> MethodDescriptor:
        """The method `Predict` of the one service that has it.

        Raises:
            ServiceError: the files contradict each other, no service or several have the method, or the method is not
                one that this client can call.
        """
        try:
            pool = self._make_pool()
            found = [pool.FindServiceByName(name).methods_by_name.get(PREDICT) for name in services]
        except (CycleError, KeyError, TypeError) as error:
            raise ServiceError(
                f"the service describes its contract by files that do not agree: {str(error)[:300]}"
            ) from None
        methods = [method for method in found if method is not None and _is_unary(method)]
        if len(methods) != 1:
            number = "none" if not methods else "more than one"
            raise ServiceError(f"of {', '.join(services)}, {number} has a unary method {PREDICT}; a model has one")
        flaw = _find_flaw(methods[0])
        if flaw is not None:
            raise ServiceError(
                f"{methods[0].full_name} is not a method that this client can call: {flaw}; use a client of the"
                " service's version"
            )
        return methods[0]

    def _make_pool(self) -> DescriptorPool:
        pool = DescriptorPool()
        for name in TopologicalSorter(self._imports).static_order():
            pool.Add(self._files[name])
        return pool


def _read(content: bytes) -> FileDescriptorProto:
    try:
        file = FileDescriptorProto.FromString(content)
        # protobuf gives a text that is not UTF-8 as bytes, or fails to give it.
        if all(isinstance(name, str) for name in (file.name, *file.dependency)):
            return file
    except (DecodeError, UnicodeDecodeError):
        pass
    raise ServiceError("the service describes its contract by a file that cannot be read")


def _to_proto(file: FileDescriptor) -> FileDescriptorProto:
    made = FileDescriptorProto()
    file.CopyToProto(made)
    return made


def _is_unary(method: MethodDescriptor) -> bool:
    return not (method.client_streaming or method.server_streaming)


def _find_flaw(method: MethodDescriptor) -> str | None:
    """Why the client cannot call a method; None if it can."""
    request, response = method.input_type, method.output_type
    texts = [(request, "semantic_version"), *((response, name) for name in AnsweredBy.__dataclass_fields__)]
    for message, name in texts:
        if not _is_text(message.fields_by_name.get(name)):
            return f"{message.full_name} has no field {name} of type string"
    for message in (request, response):
        repeated = [field for field in message.fields if field.is_repeated]
        if len(repeated) != 1 or repeated[0].message_type is None or _is_map(repeated[0]):
            return f"{message.full_name} has {len(repeated)} repeated fields, not a single one of messages"
        for field in (*message.fields, *repeated[0].message_type.fields):
            if hasattr(Message, field.name):
                return f"{field.full_name} has a name that Python's messages use themselves"
    return None


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_text(field: FieldDescriptor | None) -> bool:
    return field is not None and field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
