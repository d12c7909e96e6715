"""The Open Inference Protocol over gRPC: reads questions from its messages, writes answers and metadata into them."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from athanor.contract.shown import shown
from athanor.errors import FieldViolation
from athanor.serving.answering.core import Answer, Core, Question
from athanor.serving.formats import inference, tensors
from athanor.serving.formats.tensors import BYTES, MalformedTensorError, Tensor
from athanor.version import VERSION
from inference import open_inference_pb2

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


def to_question(core: Core, request: open_inference_pb2.ModelInferRequest, sticky_key: str) -> Question:
    """The question in a request.

    Raises:
        ModelNotFoundError: the request names another model.
        InvalidRequestError: as `inference.to_question`.
    """
    core.check_model(request.model_name)
    outputs = [output.name for output in request.outputs]
    return inference.to_question(core, _read_tensors(request), outputs, request.model_version, sticky_key)


def _read_tensors(request: open_inference_pb2.ModelInferRequest) -> Iterator[Tensor | FieldViolation]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        description = f"has {len(raw)} entries; give one for each of the {len(request.inputs)} inputs, or none at all"
        yield FieldViolation("raw_input_contents", "CONTENTS", description)
        return
    for position, given in enumerate(request.inputs):
        try:
            values = _read_contents(given) if not raw else _read_raw(given, raw[position])
            yield Tensor(given.name, given.datatype, tensors.shape_of(given.shape), values)
        except MalformedTensorError as error:
            yield FieldViolation(f"inputs.{shown(given.name)}", "CONTENTS", str(error))


def _read_raw(given: Any, raw: bytes) -> Any:
    if given.HasField("contents"):
        raise MalformedTensorError("has both contents and raw contents; give one of them")
    return tensors.read_raw(given.datatype, raw)


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
    core: Core, answer: Answer, request: open_inference_pb2.ModelInferRequest, request_id: str
) -> open_inference_pb2.ModelInferResponse:
    """An answer as a message; with raw contents if the request had raw contents."""
    variant = answer.variant
    response = open_inference_pb2.ModelInferResponse(
        model_name=core.contract.name,
        model_version=variant.semantic_version,
        id=request.id or request_id,
        parameters={
            "release_digest": _text(variant.digest),
            "variant": _text(variant.name),
            "request_id": _text(request_id),
        },
    )
    output = response.outputs.add(name=core.contract.prediction.name, datatype="FP64", shape=[answer.count])
    if request.raw_input_contents:
        response.raw_output_contents.append(answer.probabilities.astype("<f8").tobytes())
    else:
        output.contents.fp64_contents.extend(answer.probabilities.tolist())
    return response


def _text(value: str) -> open_inference_pb2.InferParameter:
    return open_inference_pb2.InferParameter(string_param=value)


def to_server_metadata() -> open_inference_pb2.ServerMetadataResponse:
    return open_inference_pb2.ServerMetadataResponse(
        name=inference.SERVER, version=VERSION, extensions=inference.EXTENSIONS
    )


def to_model_metadata(core: Core, name: str, version: str) -> open_inference_pb2.ModelMetadataResponse:
    """Raises ModelNotFoundError if the service does not serve that model or version."""
    metadata = inference.describe(core, name, version)
    tensor = open_inference_pb2.ModelMetadataResponse.TensorMetadata
    return open_inference_pb2.ModelMetadataResponse(
        **{**metadata, **{side: [tensor(**given) for given in metadata[side]] for side in ("inputs", "outputs")}}
    )
