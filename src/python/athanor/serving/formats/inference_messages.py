"""The Open Inference Protocol over gRPC: reads questions from its messages, writes answers and metadata into them."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from athanor.contract.shown import shown
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.variants import LoadedTraffic
from athanor.serving.formats import inference, tensors
from athanor.serving.formats.answers import to_values
from athanor.serving.formats.inference import RequestReader, list_outputs
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.raw import wire
from athanor.serving.formats.raw.wire import TooManyValuesError
from athanor.serving.formats.tensors import BYTES, MalformedTensorError, Tensor
from athanor.version import VERSION
from inference import open_inference_pb2

_Request: Final = open_inference_pb2.ModelInferRequest
# A request may have this many values outside its tensors.
_SLACK: Final = 10_000

# The field of `InferTensorContents` that holds the values of each datatype.
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What a request asks beside its rows.

    Attributes:
        id: the client's; "" for none.
        outputs: names of the outputs to return; empty for all.
        has_raw: whether its tensors were raw contents, and its answer's will be.
    """

    question: Question
    id: str
    outputs: Set[str]
    has_raw: bool


def read_model_name(content: bytes) -> Turns[str]:
    """The model that a serialised request names, before anything else of it is read.

    Raises:
        InvalidRequestError: the bytes are malformed.
    """
    field, name = _Request.DESCRIPTOR.fields_by_name["model_name"].number, b""
    try:
        for count, (number, kind, begin, end) in enumerate(wire.read_fields(content), 1):
            if number == field and kind == wire.DELIMITED:
                name = content[begin:end]
            if count % wire.FIELDS_A_TURN == 0:
                yield
        return name.decode()
    except (DecodeError, UnicodeDecodeError) as error:
        raise _malformed(error) from None


def read(interface: Interface, content: bytes, sticky_key: str) -> Turns[InferenceRequest]:
    """Reads a serialised request for the model of an interface.

    Raises:
        InvalidRequestError: the bytes are malformed or hold too much; or as `RequestReader`.
    """
    yield from _check_size(interface, content)
    try:
        request = _Request.FromString(content)
    except DecodeError as error:
        raise _malformed(error) from None
    reader = RequestReader(interface)
    reader.check_parameters("parameters", request.parameters)
    reader.check_number("outputs", len(request.outputs))
    for output in request.outputs:
        reader.add_output(output.name, output.parameters)
    reader.check_number("inputs", len(request.inputs))
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        description = f"has {len(raw)} entries; give one for each of the {len(request.inputs)} inputs, or none at all"
        raise InvalidRequestError(
            "inputs cannot be read", (FieldViolation("raw_input_contents", "CONTENTS", description),)
        )
    for position, given in enumerate(request.inputs):
        yield from _add_input(reader, given, raw[position] if raw else None)
    question = reader.to_question(request.model_version, sticky_key)
    return InferenceRequest(question, request.id, reader.outputs, bool(raw))


def _check_size(interface: Interface, content: bytes) -> Turns[None]:
    if len(content) <= wire.SMALL_BYTES:
        return
    most = interface.max_rows * len(interface.contract.columns) + _SLACK
    try:
        yield from wire.check_values(content, _Request.DESCRIPTOR, most)
    except DecodeError as error:
        raise _malformed(error) from None
    except TooManyValuesError:
        violation = FieldViolation("inputs", "TOO_MANY", f"has more than {interface.max_rows} rows, or too many inputs")
        raise InvalidRequestError(
            f"the request has more than {most} values, the most that {interface.max_rows} rows of this model have",
            (violation,),
        ) from None


def _malformed(error: Exception) -> InvalidRequestError:
    return InvalidRequestError(f"the bytes are not a valid {_Request.DESCRIPTOR.full_name}: {error}")


def _add_input(reader: RequestReader, given: Any, raw: bytes | None) -> Turns[None]:
    if given.parameters:
        reader.check_parameters(f"inputs.{shown(given.name)}", given.parameters)
    try:
        shape = tensors.shape_of(given.shape)
        count = reader.expect(shape)
        values = _read_contents(given) if raw is None else _read_raw(given, raw, count)
        yield from reader.add_input(Tensor(given.name, given.datatype, shape, values))
    except MalformedTensorError as error:
        reader.refuse_input(given.name, error)


def _read_raw(given: Any, raw: bytes, most: int) -> Any:
    if given.HasField("contents"):
        raise MalformedTensorError("has both contents and raw contents; give one of them")
    return tensors.read_raw(given.datatype, raw, most)


def _read_contents(given: Any) -> Any:
    field = _CONTENTS.get(given.datatype)
    if field is None:
        known = ", ".join(_CONTENTS)
        raise MalformedTensorError(
            f"has the datatype {shown(given.datatype)}, which has no contents; give one of {known}"
        )
    values = getattr(given.contents, field)
    if len(given.contents.ListFields()) > bool(values):
        raise MalformedTensorError(f"has contents of another datatype; {given.datatype} are in {field}")

    return list(values) if given.datatype == BYTES else np.array(values)


def to_response(
    interface: Interface, answer: Answer, request: InferenceRequest, request_id: str
) -> Turns[open_inference_pb2.ModelInferResponse]:
    """An answer as a message; with raw contents if the request had raw contents."""
    variant = answer.variant
    response = open_inference_pb2.ModelInferResponse(
        model_name=interface.contract.name,
        model_version=variant.semantic_version,
        id=request.id or request_id,
        parameters={
            "release_digest": _text(variant.digest),
            "variant": _text(variant.name),
            "request_id": _text(request_id),
        },
    )
    for column in list_outputs(interface.contract, answer, request.outputs):
        datatype = tensors.datatype_of(column)
        output = response.outputs.add(name=column.name, datatype=datatype, shape=[answer.count])
        if request.has_raw:
            response.raw_output_contents.append(tensors.to_raw(column, answer.answers[column.name]))
        else:
            values = to_values(column, answer)
            contents = [text.encode() for text in values] if datatype == BYTES else values
            getattr(output.contents, _CONTENTS[datatype]).extend(contents)
        yield
    return response


def _text(value: str) -> open_inference_pb2.InferParameter:
    return open_inference_pb2.InferParameter(string_param=value)


def to_server_metadata() -> open_inference_pb2.ServerMetadataResponse:
    return open_inference_pb2.ServerMetadataResponse(
        name=inference.SERVER, version=VERSION, extensions=inference.EXTENSIONS
    )


def to_model_metadata(traffic: LoadedTraffic, version: str) -> open_inference_pb2.ModelMetadataResponse:
    """Raises ModelNotFoundError if that version does not answer."""
    metadata = inference.describe(traffic, version)
    tensor = open_inference_pb2.ModelMetadataResponse.TensorMetadata
    return open_inference_pb2.ModelMetadataResponse(
        **{**metadata, **{side: [tensor(**given) for given in metadata[side]] for side in ("inputs", "outputs")}}
    )
