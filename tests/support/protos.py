"""A small contract, as protoc would compile it from a .proto file. A test may bend it before reading it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileOptions,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool

from athanor.contract.contract import Contract, read_contract
from athanor.contract.v1 import options_pb2

_PACKAGE: Final = "toy.v1"
TIMESTAMP: Final = ".google.protobuf.Timestamp"


def make_field(name: str, number: int, kind: str, **options: Any) -> FieldDescriptorProto:
    """An `optional` field.

    Args:
        kind: as protobuf names it, "double", or the full name of a message, ".toy.v1.Row".
        options: of the column; without any, the field is no column.
    """
    made = FieldDescriptorProto(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind.startswith("."):
        made.type, made.type_name = FieldDescriptorProto.TYPE_MESSAGE, kind
    else:
        made.type, made.proto3_optional = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}"), True
    if options:
        made.options.Extensions[options_pb2.column].CopyFrom(options_pb2.ColumnOptions(**options))
    return made


def _make_rows(name: str, kind: str) -> FieldDescriptorProto:
    return FieldDescriptorProto(
        name=name,
        number=1,
        label=FieldDescriptorProto.LABEL_REPEATED,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.{kind}",
    )


def _make_texts(*names: str) -> list[FieldDescriptorProto]:
    made = [make_field(name, number, "string") for number, name in enumerate(names, start=2)]
    for text in made:
        text.proto3_optional = False
    return made


def _row() -> DescriptorProto:
    key, feature = options_pb2.ROLE_KEY, options_pb2.ROLE_FEATURE
    at, event_time = "When it happened", options_pb2.ROLE_EVENT_TIME
    made = DescriptorProto(
        name="Row",
        field=[
            make_field("at", 1, TIMESTAMP, description=at, roles=[event_time]),
            make_field("id", 2, "int32", description="Which one", roles=[key], minimum=1),
            make_field("amount", 3, "double", description="How much", unit="kg", minimum=0, maximum=9, roles=[feature]),
            make_field("count", 4, "uint32", description="How many", may_be_missing=True, missing_budget=0.5),
            make_field("color", 5, "string", description="Which color", categories=["red", "green"], drift_budget=0.1),
            make_field("code", 6, "string", description="Which code", pattern="[A-Z]+", may_be_missing=True),
            make_field("is_new", 7, "bool", description="Whether it is new", may_be_missing=True),
        ],
    )
    made.options.Extensions[options_pb2.dataset].rejected_budget = 0.25
    return made


def _outcome() -> DescriptorProto:
    won = make_field("won", 1, "bool", description="Whether it won", roles=[options_pb2.ROLE_LABEL])
    return DescriptorProto(name="Outcome", field=[won])


def _prediction() -> DescriptorProto:
    probability = make_field(
        "probability", 1, "double", description="How likely it wins", roles=[options_pb2.ROLE_PREDICTION]
    )
    return DescriptorProto(name="Prediction", field=[probability])


def _request() -> DescriptorProto:
    texts = _make_texts("model_name", "semantic_version")
    return DescriptorProto(name="PredictRequest", field=[_make_rows("rows", "Row"), *texts])


def _response() -> DescriptorProto:
    texts = _make_texts("model_name", "semantic_version", "release_digest", "request_id", "variant")
    return DescriptorProto(name="PredictResponse", field=[_make_rows("predictions", "Prediction"), *texts])


def _service() -> ServiceDescriptorProto:
    predict = MethodDescriptorProto(
        name="Predict", input_type=f".{_PACKAGE}.PredictRequest", output_type=f".{_PACKAGE}.PredictResponse"
    )
    return ServiceDescriptorProto(name="ToyService", method=[predict])


@dataclass
class Toy:
    """A valid contract, in parts: bend one, then `read` it."""

    row: DescriptorProto = field(default_factory=_row)
    outcome: DescriptorProto = field(default_factory=_outcome)
    prediction: DescriptorProto = field(default_factory=_prediction)
    request: DescriptorProto = field(default_factory=_request)
    response: DescriptorProto = field(default_factory=_response)
    service: ServiceDescriptorProto = field(default_factory=_service)
    options: FileOptions = field(default_factory=FileOptions)
    syntax: str = "proto3"
    others: list[DescriptorProto] = field(default_factory=list)

    @property
    def messages(self) -> Sequence[DescriptorProto]:
        return (self.row, self.outcome, self.prediction, self.request, self.response, *self.others)

    def field(self, name: str) -> FieldDescriptorProto:
        """The first field with the name."""
        return next(found for message in self.messages for found in message.field if found.name == name)

    def column(self, name: str) -> options_pb2.ColumnOptions:
        """The column options of a field, for changes."""
        return self.field(name).options.Extensions[options_pb2.column]

    def remove(self, name: str) -> None:
        for message in self.messages:
            kept = [found for found in message.field if found.name != name]
            del message.field[:]
            message.field.extend(kept)

    def read(self) -> Contract:
        pool = DescriptorPool()
        for dependency in (timestamp_pb2.DESCRIPTOR, *options_pb2.DESCRIPTOR.dependencies, options_pb2.DESCRIPTOR):
            pool.AddSerializedFile(dependency.serialized_pb)
        file = FileDescriptorProto(
            name="toy/v1/toy.proto",
            package=_PACKAGE,
            syntax=self.syntax,
            dependency=[timestamp_pb2.DESCRIPTOR.name, options_pb2.DESCRIPTOR.name],
            message_type=[_with_presence(message, self.syntax) for message in self.messages],
            service=[self.service],
            options=self.options,
        )
        pool.AddSerializedFile(file.SerializeToString())
        return read_contract(
            pool.FindServiceByName(f"{_PACKAGE}.{self.service.name}"),
            outcome=pool.FindMessageTypeByName(f"{_PACKAGE}.{self.outcome.name}"),
        )


def _with_presence(message: DescriptorProto, syntax: str) -> DescriptorProto:
    """Wraps each `optional` field of proto3 in a oneof of its own, as protoc does."""
    made = DescriptorProto()
    made.CopyFrom(message)
    for optional in (found for found in made.field if found.proto3_optional):
        if syntax != "proto3":
            optional.ClearField("proto3_optional")
            continue
        optional.oneof_index = len(made.oneof_decl)
        made.oneof_decl.add(name=f"_{optional.name}")
    return made
