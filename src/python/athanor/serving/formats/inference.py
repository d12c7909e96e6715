"""The Open Inference Protocol without an encoding: what its JSON and its messages share."""

from collections.abc import Iterable, Set
from typing import Any, Final

from athanor.contract.columns import Column
from athanor.contract.contract import Contract
from athanor.contract.shown import shown
from athanor.errors import MOST_VIOLATIONS, FieldViolation, InvalidRequestError
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.refusals import Violations
from athanor.serving.answering.variants import LoadedTraffic
from athanor.serving.formats import tensors
from athanor.serving.formats.answers import list_answered
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.tensors import ColumnReader, MalformedTensorError, Tensor

SERVER: Final = "athanor"
PLATFORM: Final = "onnx"
# Outputs in a refusal.
_MOST_NAMED: Final = 20
EXTENSIONS: Final = ("binary_tensor_data", "model_repository")

# Parameters that change the answer. Ignoring one would answer a different question.
_UNSUPPORTED: Final = {
    "classification": "no output is a list of classes; leave class_count out, and read the outputs of its categories",
    "shared_memory_region": "the service reads no shared memory; send the data",
    "sequence_id": "the model has no state between requests; leave it out",
}


class RequestReader:
    """Reads a request, part by part, into a question about rows whose columns are its tensors."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._asked = Violations()
        self._outputs: set[str] = set()
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
        known = [column.name for column in self._interface.contract.answer]
        where = f"outputs.{shown(name)}"
        if name in known:
            self._outputs.add(name)
        else:
            more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
            has = f"{', '.join(known[:_MOST_NAMED])}{more}"
            self._asked.add(where, "UNKNOWN", f"is not an output; the model has {has}")
        self.check_parameters(where, parameters)

    def check_number(self, side: str, count: int) -> None:
        """Raises InvalidRequestError for many more inputs or outputs than the model has, before they are read."""
        contract = self._interface.contract
        known = len(contract.columns if side == "inputs" else contract.answer)
        # As many wrong ones are named each.
        if count > known + MOST_VIOLATIONS:
            violation = FieldViolation(
                side, "TOO_MANY", f"has more than {known + MOST_VIOLATIONS}; the model has {known}"
            )
            raise InvalidRequestError(f"the request has too many {side}", (violation,))

    @property
    def outputs(self) -> Set[str]:
        """Names of the outputs to return; empty for all."""
        return self._outputs

    def to_question(self, semantic_version: str, sticky_key: str) -> Question:
        """Raises InvalidRequestError if an output is unknown, or the tensors make no rows; names the violations."""
        self._asked.raise_any("the model does not have what is asked for")
        columns, unread = self._columns.columns(), self._columns.unread
        return self._interface.ask_by_columns(columns, tensors.locate, semantic_version, sticky_key, unread)


def list_outputs(contract: Contract, answer: Answer, wanted: Set[str]) -> list[Column]:
    """The columns of an answer that become output tensors, in the contract's order.

    Args:
        wanted: names of columns; empty for all.
    """
    return [column for column in list_answered(contract, answer) if not wanted or column.name in wanted]


def describe(traffic: LoadedTraffic, version: str) -> dict[str, Any]:
    """Metadata of a model. Raises ModelNotFoundError if that version does not answer."""
    if version:
        traffic.find(version)
    contract = traffic.interface.contract
    return {
        "name": contract.name,
        "versions": traffic.versions,
        "platform": PLATFORM,
        "inputs": [_describe(column) for column in contract.columns],
        "outputs": [_describe(column) for column in contract.answer],
    }


def _describe(column: Column) -> dict[str, Any]:
    return {"name": column.name, "datatype": tensors.datatype_of(column), "shape": [-1]}
