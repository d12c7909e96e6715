"""Refuses ONNX graphs that read files beside them.

A tensor may keep its data in a file, whose path onnxruntime follows from the working folder: such a graph has other
weights wherever it is loaded. The location may also name an address in memory. The package onnx, which could look for
them, is not on the serving path.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from athanor.errors import ReleaseError

_PACKAGE: Final = "athanor.onnx_tensors"
_SCALARS: Final[Mapping[str, FieldDescriptorProto.Type.ValueType]] = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
}
# The part of onnx.proto that leads to tensors, by message: name, number and type of each field. Whether a field is
# repeated there is of no consequence: read as repeated, none of its values is lost.
_MESSAGES: Final = {
    "Model": [("graph", 7, "Graph"), ("training_info", 20, "Training"), ("functions", 25, "Function")],
    "Training": [("initialization", 1, "Graph"), ("algorithm", 2, "Graph")],
    "Function": [("node", 7, "Node"), ("attribute_proto", 11, "Attribute")],
    "Graph": [("node", 1, "Node"), ("initializer", 5, "Tensor"), ("sparse_initializer", 15, "Sparse")],
    "Node": [("attribute", 5, "Attribute")],
    "Attribute": [
        *(("t", 5, "Tensor"), ("g", 6, "Graph"), ("tensors", 10, "Tensor"), ("graphs", 11, "Graph")),
        *(("sparse_tensor", 22, "Sparse"), ("sparse_tensors", 23, "Sparse")),
    ],
    "Sparse": [("values", 1, "Tensor"), ("indices", 2, "Tensor")],
    "Tensor": [("name", 8, "bytes"), ("external_data", 13, "bytes"), ("data_location", 14, "int32")],
}


def require_self_contained(graph: bytes) -> None:
    """Raises ReleaseError if a tensor of a graph keeps its data elsewhere, or the graph cannot be parsed."""
    try:
        model = _model_class().FromString(graph)
    except DecodeError:
        raise ReleaseError("it is no ONNX graph") from None
    for tensor in _find_tensors(model):
        if tensor.external_data or any(tensor.data_location):
            name = b"".join(tensor.name).decode(errors="replace")
            raise ReleaseError(
                f"its tensor {name[:80]!r} keeps its data outside of the graph, and a release holds all that it needs; "
                "save the graph with its data inside"
            )


def _find_tensors(model: Message) -> Iterator[Any]:
    waiting = [model]
    while waiting:
        message = waiting.pop()
        if message.DESCRIPTOR.name == "Tensor":
            yield message
            continue
        for _, values in message.ListFields():
            waiting += values


@cache
def _model_class() -> type[Message]:
    file = FileDescriptorProto(name="athanor/onnx_tensors.proto", package=_PACKAGE)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = message.field.add(name=field, number=number, label=FieldDescriptorProto.LABEL_REPEATED)
            added.type = _SCALARS.get(kind, FieldDescriptorProto.TYPE_MESSAGE)
            if kind not in _SCALARS:
                added.type_name = f".{_PACKAGE}.{kind}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))
