"""The contract: the messages of one service read as columns, and the fingerprint of both."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from athanor.contract.columns import Column, Kind, Role, is_column, read_column
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError

_ANSWER_FIELDS = ("model_name", "semantic_version", "release_digest", "request_id", "variant")
_QUESTION_FIELDS = ("model_name", "semantic_version")


@dataclass(frozen=True)
class DatasetRules:
    """What the contract asks of a dataset as a whole: `DatasetOptions` of `options.proto`, checked.

    Attributes:
        rejected_budget: largest share of a dataset's rows that may be set aside.
        largest_gap_s: longest stretch of event time without a row; None for any.
        disorder_budget: largest share of the source's rows that come after a row with a later event time; None for any.
        leakage_budget: largest area under the ROC curve with which one feature may tell the label; None for any.
        drift_significance: probability that rows which have not drifted are called drifted, over all columns together.
    """

    rejected_budget: float
    largest_gap_s: float | None
    disorder_budget: float | None
    leakage_budget: float | None
    drift_significance: float


@dataclass(frozen=True)
class Contract:
    """What a service is asked and answers, as columns.

    Attributes:
        name: the model's name: the first part of the proto package, `flight_delay` of `flight_delay.v1`.
        predict: the unary method `Predict`.
        rows_field: the repeated field of the request that holds the rows.
        predictions_field: the repeated field of the response that holds one prediction for each row.
        columns: of the row, in the order of their field numbers.
        outcome: message of what turns out afterwards; its columns stand in `outcome_columns`.
        prediction: the column of the prediction message that the model answers.
        rules: what holds for a dataset of these rows.
    """

    name: str
    predict: MethodDescriptor
    rows_field: FieldDescriptor
    predictions_field: FieldDescriptor
    columns: tuple[Column, ...]
    outcome: Descriptor
    outcome_columns: tuple[Column, ...]
    prediction: Column
    rules: DatasetRules

    @property
    def service(self) -> ServiceDescriptor:
        return self.predict.containing_service

    @property
    def row(self) -> Descriptor:
        return message_of(self.rows_field)

    @property
    def dataset_columns(self) -> tuple[Column, ...]:
        """All columns of a training dataset: those of the row, then those of the outcome."""
        return self.columns + self.outcome_columns

    @cached_property
    def label(self) -> Column:
        return next(column for column in self.outcome_columns if Role.LABEL in column.roles)

    @cached_property
    def event_time(self) -> Column:
        return next(column for column in self.columns if Role.EVENT_TIME in column.roles)

    @cached_property
    def key(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if Role.KEY in column.roles)

    def column(self, name: str) -> Column:
        """Raises ContractError if the dataset has no such column."""
        found = next((column for column in self.dataset_columns if column.name == name), None)
        if found is None:
            names = ", ".join(column.name for column in self.dataset_columns)
            raise ContractError(f"{self.row.full_name} has no column {name!r}; it has {names}")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """sha256, in hexadecimal, of `promises`."""
        return hashlib.sha256(json.dumps(self.promises, sort_keys=True).encode()).hexdigest()

    @cached_property
    def promises(self) -> dict[str, Any]:
        """All that the contract promises, as JSON values: method, fields of the messages, columns by name, rules.

        Descriptions and comments are left out: words may be mended without making another contract.
        """
        response = self.predict.output_type
        messages = (self.predict.input_type, self.row, response, message_of(self.predictions_field), self.outcome)
        return {
            "method": f"{self.service.full_name}/{self.predict.name}",
            "messages": {m.full_name: {field.name: _wire(field) for field in m.fields} for m in messages},
            "row_columns": {column.name: _promise(column) for column in self.columns},
            "other_columns": {column.name: _promise(column) for column in (*self.outcome_columns, self.prediction)},
            "dataset": asdict(self.rules),
        }


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field that has one."""
    if field.message_type is None:
        raise ContractError(f"{field.full_name} is no message")
    return field.message_type


def _wire(field: FieldDescriptor) -> list[int | bool | str]:
    referred = field.message_type.full_name if field.message_type is not None else ""
    return [field.number, field.type, field.is_repeated, referred]


def _promise(column: Column) -> dict[str, Any]:
    promise = asdict(column)
    del promise["description"], promise["name"]
    return promise | {
        "kind": column.kind.value,
        "roles": sorted(role.name for role in column.roles),
        "categories": sorted(column.categories),
        "minimum": column.minimum if isfinite(column.minimum) else None,
        "maximum": column.maximum if isfinite(column.maximum) else None,
    }


def read_contract(service: ServiceDescriptor, outcome: Descriptor) -> Contract:
    """Reads the contract of a service.

    Args:
        service: has one unary method `Predict` of the shape that `options.proto` draws.
        outcome: message whose columns are known only afterwards, the label among them.

    Raises:
        ContractError: service, messages or column options are not of that shape.
    """
    predict = service.methods_by_name.get("Predict")
    if predict is None or predict.client_streaming or predict.server_streaming:
        raise ContractError(f"{service.full_name} has no unary method Predict")
    _require_text(predict.input_type, _QUESTION_FIELDS)
    _require_text(predict.output_type, _ANSWER_FIELDS)
    rows_field = _only_repeated_message(predict.input_type)
    predictions_field = _only_repeated_message(predict.output_type)
    contract = Contract(
        name=service.file.package.split(".")[0],
        predict=predict,
        rows_field=rows_field,
        predictions_field=predictions_field,
        columns=_read_columns(message_of(rows_field)),
        outcome=outcome,
        outcome_columns=_read_columns(outcome),
        prediction=_only_with(Role.PREDICTION, message_of(predictions_field)),
        rules=_read_rules(message_of(rows_field)),
    )
    _only_with(Role.LABEL, outcome)
    _check(contract)
    return contract


def _read_rules(row: Descriptor) -> DatasetRules:
    options = row.GetOptions().Extensions[options_pb2.dataset]
    rules = DatasetRules(
        rejected_budget=options.rejected_budget,
        largest_gap_s=options.largest_gap_s if options.HasField("largest_gap_s") else None,
        disorder_budget=options.disorder_budget if options.HasField("disorder_budget") else None,
        leakage_budget=options.leakage_budget if options.HasField("leakage_budget") else None,
        drift_significance=options.drift_significance if options.HasField("drift_significance") else 0.05,
    )
    ranges = {
        "rejected_budget": (0, 1),
        "largest_gap_s": (0, float("inf")),
        "disorder_budget": (0, 1),
        "leakage_budget": (0.5, 1),
        "drift_significance": (0, 1),
    }
    for name, (lowest, highest) in ranges.items():
        value = getattr(rules, name)
        if value is not None and not lowest <= value <= highest:
            raise ContractError(f"{row.full_name}: {name} {value:g} is not from {lowest:g} to {highest:g}")
    return rules


def _read_columns(message: Descriptor) -> tuple[Column, ...]:
    return tuple(sorted((read_column(field) for field in message.fields), key=lambda column: column.number))


def _only_with(role: Role, message: Descriptor) -> Column:
    found = [column for column in map(read_column, filter(is_column, message.fields)) if role in column.roles]
    if len(found) != 1:
        raise ContractError(f"{message.full_name} needs exactly one column of ROLE_{role.name}, it has {len(found)}")
    return found[0]


def _only_repeated_message(message: Descriptor) -> FieldDescriptor:
    found = [field for field in message.fields if field.is_repeated and field.message_type is not None]
    if len(found) != 1:
        raise ContractError(f"{message.full_name} needs exactly one repeated message field, it has {len(found)}")
    return found[0]


def _require_text(message: Descriptor, names: tuple[str, ...]) -> None:
    for name in names:
        field = message.fields_by_name.get(name)
        if field is None or field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
            raise ContractError(f"{message.full_name} needs a field `string {name}`")


def _check(contract: Contract) -> None:
    names = [column.name for column in contract.dataset_columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    misplaced = [c.name for c in contract.columns if c.roles & {Role.LABEL, Role.PREDICTION}]
    event_times = [c.name for c in contract.columns if Role.EVENT_TIME in c.roles]
    row = contract.row.full_name
    if twice:
        raise ContractError(f"{row} and {contract.outcome.full_name} share column names: {', '.join(twice)}")
    if misplaced:
        raise ContractError(f"{row} holds what is known only afterwards: {', '.join(misplaced)}")
    if len(event_times) != 1:
        raise ContractError(f"{row} needs exactly one column of ROLE_EVENT_TIME, it has {len(event_times)}")
    if not contract.key:
        raise ContractError(f"{row} has no column of ROLE_KEY")
    if contract.label.kind is not Kind.BOOLEAN or contract.label.may_be_missing:
        label = f"{contract.outcome.full_name}.{contract.label.name}"
        raise ContractError(f"{label}: a label is a bool that may not be missing; models classify into two classes")
