"""The contract of a model: the messages of its service, read as columns, and their fingerprint."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import inf, isfinite
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from athanor.contract.columns import Column, Kind, Role, is_column, read_column
from athanor.contract.examples import read_example
from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError

_RESPONSE_FIELDS: Final = ("model_name", "semantic_version", "release_digest", "request_id", "variant")
_REQUEST_FIELDS: Final = ("model_name", "semantic_version")


@dataclass(frozen=True)
class DatasetRules:
    """Rules for a dataset as a whole: `DatasetOptions` of `options.proto`, checked.

    Attributes:
        rejected_budget: largest share of a dataset's rows that may be set aside.
        largest_gap_s: longest stretch of event time without a row; None for any.
        disorder_budget: largest share of the source's rows that come after a row with a later event time; None for any.
        leakage_budget: largest area under the ROC curve at which one feature may predict the label; None for any.
        drift_significance: probability of reporting drift, over all columns together, when nothing has drifted.
    """

    rejected_budget: float
    largest_gap_s: float | None
    disorder_budget: float | None
    leakage_budget: float | None
    drift_significance: float


@dataclass(frozen=True)
class Contract:
    """Requests and responses of a service, as columns.

    Attributes:
        name: the model's name: the first part of the proto package, `flight_delay` of `flight_delay.v1`.
        predict: the unary method `Predict`.
        rows_field: the repeated field of the request that holds the rows.
        predictions_field: the repeated field of the response that holds one prediction for each row.
        columns: of the row, in the order of their field numbers.
        outcome: message of what is known only afterwards; its columns are `outcome_columns`.
        prediction: the column of the prediction message that the model fills in.
        rules: for a dataset of these rows.
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
        """The dataset column of that name. Raises ContractError if there is none."""
        found = next((column for column in self.dataset_columns if column.name == name), None)
        if found is None:
            names = ", ".join(column.name for column in self.dataset_columns)
            raise ContractError(f"{self.row.full_name} has no column {name!r}; it has {names}")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `promises`, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.promises, sort_keys=True).encode()).hexdigest()

    @cached_property
    def promises(self) -> dict[str, Any]:
        """Everything that the contract promises, as JSON values: method, message fields, columns by name, rules.

        Descriptions, examples and comments are left out: better words make no other contract.
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
        raise ContractError(f"{field.full_name} is not a message field")
    return field.message_type


def _wire(field: FieldDescriptor) -> list[int | bool | str]:
    referred = field.message_type.full_name if field.message_type is not None else ""
    return [field.number, field.type, field.is_repeated, referred]


def _promise(column: Column) -> dict[str, Any]:
    promise = asdict(column)
    del promise["description"], promise["example"], promise["name"], promise["is_32_bit"]
    return promise | {
        "kind": column.kind.value,
        "roles": sorted(role.name for role in column.roles),
        "categories": sorted(column.categories),
        "minimum": column.shorten(column.minimum) if isfinite(column.minimum) else None,
        "maximum": column.shorten(column.maximum) if isfinite(column.maximum) else None,
    }


def read_contract(service: ServiceDescriptor, outcome: Descriptor) -> Contract:
    """Reads the contract of a service.

    Args:
        service: has one unary method `Predict`, with messages as drawn in `options.proto`.
        outcome: message whose columns are known only afterwards, the label among them.

    Raises:
        ContractError: the service, its messages or their column options have another shape.

    Example:
        >>> from flight_delay.v1 import flight_delay_pb2
        >>> contract = read_contract(
        ...     flight_delay_pb2.DESCRIPTOR.services_by_name["FlightDelayService"],
        ...     outcome=flight_delay_pb2.FlightOutcome.DESCRIPTOR,
        ... )
        >>> contract.name, contract.label.name, [column.name for column in contract.key]
        ('flight_delay', 'arrived_late', ['scheduled_departure', 'carrier', 'flight_number'])
        >>> contract.column("distance").allowed
        'a number from 1 to 6000 [mi_i]'
    """
    predict = service.methods_by_name.get("Predict")
    if predict is None or predict.client_streaming or predict.server_streaming:
        raise ContractError(f"{service.full_name} has no unary method Predict; add one")
    _require_text(predict.input_type, _REQUEST_FIELDS)
    _require_text(predict.output_type, _RESPONSE_FIELDS)
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
        prediction=_read_prediction(message_of(predictions_field)),
        rules=_read_rules(message_of(rows_field)),
    )
    _check(contract)
    return contract


_RULE_RANGES: Final = {
    "rejected_budget": (0, 1),
    "largest_gap_s": (0, inf),
    "disorder_budget": (0, 1),
    "leakage_budget": (0.5, 1),
    "drift_significance": (0, 1),
}


def _read_rules(row: Descriptor) -> DatasetRules:
    options = row.GetOptions().Extensions[options_pb2.dataset]
    given = {option.name: value for option, value in options.ListFields()}
    for name, value in given.items():
        lowest, highest = _RULE_RANGES[name]
        if not lowest <= value <= highest:
            raise ContractError(f"{row.full_name}: {name} must be from {lowest:g} to {highest:g}, not {value:g}")
    return DatasetRules(
        rejected_budget=options.rejected_budget,
        largest_gap_s=given.get("largest_gap_s"),
        disorder_budget=given.get("disorder_budget"),
        leakage_budget=given.get("leakage_budget"),
        drift_significance=given.get("drift_significance", 0.05),
    )


def _read_columns(message: Descriptor) -> tuple[Column, ...]:
    columns = (_read_column(message, field) for field in message.fields)
    return tuple(sorted(columns, key=lambda column: column.number))


def _read_column(message: Descriptor, field: FieldDescriptor) -> Column:
    column = read_column(field)
    return replace(column, example=read_example(message, column))


def _read_prediction(message: Descriptor) -> Column:
    columns = [_read_column(message, field) for field in message.fields if is_column(field)]
    return _only_with(Role.PREDICTION, columns, message)


def _only_with(role: Role, columns: Iterable[Column], message: Descriptor) -> Column:
    found = [column for column in columns if role in column.roles]
    if len(found) != 1:
        names = ", ".join(column.name for column in found) or "none"
        raise ContractError(f"{message.full_name} needs exactly one column with ROLE_{role.name}, it has {names}")
    return found[0]


def _only_repeated_message(message: Descriptor) -> FieldDescriptor:
    found = [field for field in message.fields if field.is_repeated and field.message_type is not None]
    if len(found) != 1:
        names = ", ".join(field.name for field in found) or "none"
        raise ContractError(f"{message.full_name} needs exactly one repeated message field, it has {names}")
    return found[0]


def _require_text(message: Descriptor, names: tuple[str, ...]) -> None:
    for name in names:
        field = message.fields_by_name.get(name)
        if field is None or field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
            raise ContractError(f"{message.full_name} needs a field `string {name}`")


def _check(contract: Contract) -> None:
    row, outcome = contract.row, contract.outcome
    names = [column.name for column in contract.dataset_columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"{row.full_name} and {outcome.full_name} share column names, rename: {', '.join(twice)}")
    if misplaced := [c.name for c in contract.columns if c.roles & {Role.LABEL, Role.PREDICTION}]:
        raise ContractError(
            f"{row.full_name} has columns that are known only afterwards, "
            f"move to the outcome or the prediction: {', '.join(misplaced)}"
        )
    _only_with(Role.EVENT_TIME, contract.columns, row)
    if not contract.key:
        raise ContractError(f"{row.full_name} needs at least one column with ROLE_KEY, it has none")
    label = _only_with(Role.LABEL, contract.outcome_columns, outcome)
    if label.kind is not Kind.BOOLEAN or label.may_be_missing:
        raise ContractError(f"{outcome.full_name}.{label.name}: a label must be a required bool, true or false")
