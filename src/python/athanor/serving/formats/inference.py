"""The Open Inference Protocol without an encoding: what its JSON and its messages share."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from athanor.contract.shown import shown
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.answering.core import Core, Question
from athanor.serving.formats import tensors
from athanor.serving.formats.tensors import Tensor

SERVER: Final = "athanor"
PLATFORM: Final = "onnx"
EXTENSIONS: Final = ("binary_tensor_data",)


def to_question(
    core: Core,
    reading: Iterable[Tensor | FieldViolation],
    outputs: Sequence[str],
    semantic_version: str,
    sticky_key: str,
) -> Question:
    """A question about rows whose columns are tensors.

    Args:
        reading: the inputs, read one after another: a tensor, or why it cannot be read.
        outputs: names of the outputs that the caller asks for; empty for all.

    Raises:
        InvalidRequestError: an output is unknown, or the tensors make no rows, or too many; names every violation.
    """
    _check_outputs(core, outputs)
    given = _read_all(reading)
    count = tensors.count_rows(given)
    if count:
        # First: a short message can name a long tensor, and each column that it leaves out becomes as long.
        core.check_count(count, "inputs")
    columns = tensors.to_columns(core.contract, given)
    core.check_count(count, "inputs")
    return Question(count, tensors.locate, columns=columns, semantic_version=semantic_version, sticky_key=sticky_key)


def _check_outputs(core: Core, names: Sequence[str]) -> None:
    known = core.contract.prediction.name
    if unknown := [name for name in names if name != known]:
        violations = tuple(
            FieldViolation(f"outputs.{shown(name)}", "UNKNOWN", f"is not an output; the model has {known}")
            for name in unknown
        )
        raise InvalidRequestError("the model does not have the requested outputs", violations)


def _read_all(reading: Iterable[Tensor | FieldViolation]) -> list[Tensor]:
    found = list(reading)
    if violations := tuple(tensor for tensor in found if isinstance(tensor, FieldViolation)):
        raise InvalidRequestError("inputs cannot be read", violations)
    return [tensor for tensor in found if isinstance(tensor, Tensor)]


def describe(core: Core, name: str, version: str) -> dict[str, Any]:
    """Metadata of a model. Raises ModelNotFoundError if the service does not serve that model or version."""
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
    """Whether the service answers for a model, or for a version of it."""
    if name != core.contract.name:
        return False
    return not version or any(variant.semantic_version == version for variant in core.traffic.answering)
