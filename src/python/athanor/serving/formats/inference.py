"""The Open Inference Protocol without an encoding: what its JSON and its messages share."""

from collections.abc import Iterable
from typing import Any, Final

from athanor.contract.shown import shown
from athanor.errors import MOST_VIOLATIONS, FieldViolation, InvalidRequestError
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.refusals import Violations
from athanor.serving.answering.variants import LoadedTraffic
from athanor.serving.formats import tensors
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.tensors import ColumnReader, MalformedTensorError, Tensor

SERVER: Final = "athanor"
PLATFORM: Final = "onnx"
EXTENSIONS: Final = ("binary_tensor_data", "model_repository")

# Parameters that change the answer. Ignoring one would answer a different question.
_UNSUPPORTED: Final = {
    "classification": "the model has one number for a row and no classes to list; leave class_count out",
    "shared_memory_region": "the service reads no shared memory; send the data",
    "sequence_id": "the model has no state between requests; leave it out",
}


class RequestReader:
    """Reads a request, part by part, into a question about rows whose columns are its tensors."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._asked = Violations()
        self._columns = ColumnReader(interface.contract, lambda count: interface.check_count(count, "inputs"))

    def expect(self, shape: tuple[int, ...]) -> int:
        """The number of values of an input of that shape. Raises InvalidRequestError if they are too many rows."""
        return self._columns.expect(shape)

    def add_input(self, tensor: Tensor) -> Turns[None]:
        yield from self._columns.add(tensor)

    def refuse_input(self, name: str, problem: MalformedTensorError) -> None:
        self.refuse(f"inputs.{shown(name)}", "CONTENTS", str(problem))

    def refuse(self, field: str, rule: str, description: str) -> None:
        self._columns.violations.add(field, rule, description)

    def check_parameters(self, where: str, names: Iterable[str]) -> None:
        for name in names:
            if name in _UNSUPPORTED:
                self._asked.add(where, "UNSUPPORTED", f"has the parameter {name}, but {_UNSUPPORTED[name]}")

    def add_output(self, name: str, parameters: Iterable[str]) -> None:
        known = self._interface.contract.prediction.name
        where = f"outputs.{shown(name)}"
        if name != known:
            self._asked.add(where, "UNKNOWN", f"is not an output; the model has {known}")
        self.check_parameters(where, parameters)

    def check_number(self, side: str, count: int) -> None:
        """Raises InvalidRequestError for many more inputs or outputs than the model has, before they are read."""
        known = len(self._interface.contract.columns) if side == "inputs" else 1
        # As many wrong ones are named each.
        if count > known + MOST_VIOLATIONS:
            violation = FieldViolation(
                side, "TOO_MANY", f"has more than {known + MOST_VIOLATIONS}; the model has {known}"
            )
            raise InvalidRequestError(f"the request has too many {side}", (violation,))

    def to_question(self, semantic_version: str, sticky_key: str) -> Question:
        """Raises InvalidRequestError if an output is unknown, or the tensors make no rows; names the violations."""
        self._asked.raise_any("the model does not have what is asked for")
        columns, unread = self._columns.columns(), self._columns.unread
        return self._interface.ask_by_columns(columns, tensors.locate, semantic_version, sticky_key, unread)


def describe(traffic: LoadedTraffic, version: str) -> dict[str, Any]:
    """Metadata of a model. Raises ModelNotFoundError if that version does not answer."""
    if version:
        traffic.find(version)
    contract = traffic.interface.contract
    return {
        "name": contract.name,
        "versions": traffic.versions,
        "platform": PLATFORM,
        "inputs": [
            {"name": column.name, "datatype": tensors.datatype_of(column), "shape": [-1]} for column in contract.columns
        ],
        "outputs": [{"name": contract.prediction.name, "datatype": "FP64", "shape": [-1]}],
    }
