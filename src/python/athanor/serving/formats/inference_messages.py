"""The Open Inference Protocol over gRPC: questions out of its messages, answers and metadata into them."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from athanor.contract.validation import shown
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.answering.core import Answer, Core, Question
from athanor.serving.formats import tensors
from athanor.serving.formats.tensors import BYTES, MalformedTensorError, Tensor
from athanor.version import VERSION
from inference import open_inference_pb2

SERVER: Final = "athanor"
PLATFORM: Final = "onnx"

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
    """What a request asks.

    Raises:
        ModelNotFoundError: another model is asked for.
        InvalidRequestError: the tensors make no rows, too many, or none; names every one that is wrong.
    """
    core.check_model(request.model_name)
    check_outputs(core, [output.name for output in request.outputs])
    return ask_by_tensors(core, read_tensors(_read_tensors(request)), request.model_version, sticky_key)


def ask_by_tensors(core: Core, given: Sequence[Tensor], semantic_version: str, sticky_key: str) -> Question:
    """A question about rows whose columns are tensors. Raises InvalidRequestError as `to_question`."""
    count = tensors.count_rows(given)
    if count:
        # First: a short message can name a long tensor, and each column that it leaves out is made as long.
        core.check_count(count, "inputs")
    columns = tensors.to_columns(core.contract, given)
    core.check_count(count, "inputs")
    return Question(count, tensors.locate, columns=columns, semantic_version=semantic_version, sticky_key=sticky_key)


def check_outputs(core: Core, names: Sequence[str]) -> None:
    """Raises InvalidRequestError if an output is asked for that the model does not have."""
    known = core.contract.prediction.name
    if unknown := [name for name in names if name != known]:
        violations = tuple(
            FieldViolation(f"outputs.{shown(name)}", "UNKNOWN", f"is no output; the model has {known}")
            for name in unknown
        )
        raise InvalidRequestError("outputs are asked for that the model does not have", violations)


def read_tensors(reading: Iterator[Tensor | FieldViolation]) -> list[Tensor]:
    """Those that could be read. Raises InvalidRequestError if one could not; names every one."""
    found = list(reading)
    if violations := tuple(tensor for tensor in found if isinstance(tensor, FieldViolation)):
        raise InvalidRequestError("inputs cannot be read", violations)
    return [tensor for tensor in found if isinstance(tensor, Tensor)]


def _read_tensors(request: open_inference_pb2.ModelInferRequest) -> Iterator[Tensor | FieldViolation]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        told = f"has {len(raw)} entries; give one for each of the {len(request.inputs)} inputs, or none at all"
        yield FieldViolation("raw_input_contents", "CONTENTS", told)
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
        raise MalformedTensorError(f"has a datatype {shown(given.datatype)} without contents; give one of {known}")
    values = getattr(given.contents, field)
    if len(given.contents.ListFields()) > bool(values):
        raise MalformedTensorError(f"has contents of another datatype; {given.datatype} are in {field}")
    return list(values) if given.datatype == BYTES else np.array(values)


def to_response(
    core: Core, answer: Answer, request: open_inference_pb2.ModelInferRequest, request_id: str
) -> open_inference_pb2.ModelInferResponse:
    """An answer; with raw contents when the request had those."""
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
    return open_inference_pb2.ServerMetadataResponse(name=SERVER, version=VERSION)


def to_model_metadata(core: Core, name: str, version: str) -> open_inference_pb2.ModelMetadataResponse:
    """Raises ModelNotFoundError if no such model or version answers."""
    metadata = describe(core, name, version)
    tensor = open_inference_pb2.ModelMetadataResponse.TensorMetadata
    return open_inference_pb2.ModelMetadataResponse(
        **{**metadata, **{side: [tensor(**given) for given in metadata[side]] for side in ("inputs", "outputs")}}
    )


def describe(core: Core, name: str, version: str) -> dict[str, Any]:
    """Metadata of a model, as JSON and the message have it. Raises ModelNotFoundError as `to_model_metadata`."""
    core.check_model(name)
    traffic = core.traffic
    if version:
        traffic.find(version)
    return {
        "name": core.contract.name,
        "versions": sorted({variant.semantic_version for variant in traffic.answering}),
        "platform": PLATFORM,
        "inputs": [
            {"name": column.name, "datatype": tensors.datatype_of(column), "shape": [-1]}
            for column in core.contract.columns
        ],
        "outputs": [{"name": core.contract.prediction.name, "datatype": "FP64", "shape": [-1]}],
    }


def is_ready(core: Core, name: str, version: str) -> bool:
    """Whether a model, or a version of it, answers."""
    if name != core.contract.name:
        return False
    return not version or any(variant.semantic_version == version for variant in core.traffic.answering)
