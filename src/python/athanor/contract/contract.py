"""The contract of a model: the messages of its service, read as columns, and their fingerprint."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import inf, isfinite
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from athanor.contract.columns import ANSWERS, BUDGETS, OF_A_CATEGORY, Column, Problems, Role, is_column, read_column
from athanor.contract.evolution.packages import model_of_package
from athanor.contract.examples import read_example
from athanor.contract.v1 import options_pb2
from athanor.contract.wire import describe_types, describe_wire
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
        leakage_budget: largest probability, 0.5 to 1, with which one feature may put two rows with different labels in
            order: the area under the ROC curve, or what takes its place for other labels than a bool. None for any.
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
        name: the model's: `flight_delay` for the proto package `flight_delay.v1`, `flight_delay.v2` for the next one.
        predict: the unary method `Predict`.
        rows_field: the repeated field of the request that holds the rows.
        predictions_field: the repeated field of the response that holds one prediction for each row.
        columns: of the row, in the order of their field numbers.
        outcome: message of what is known only afterwards; its columns are `outcome_columns`.
        answer: columns of the prediction message, which the model fills in.
        rules: for a dataset of these rows.
    """

    name: str
    predict: MethodDescriptor
    rows_field: FieldDescriptor
    predictions_field: FieldDescriptor
    columns: tuple[Column, ...]
    outcome: Descriptor
    outcome_columns: tuple[Column, ...]
    answer: tuple[Column, ...]
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
    def prediction(self) -> Column:
        """The column of the answer with ROLE_PREDICTION."""
        return next(column for column in self.answer if Role.PREDICTION in column.roles)

    @cached_property
    def event_time(self) -> Column | None:
        return self._find(Role.EVENT_TIME)

    @cached_property
    def group(self) -> Column | None:
        return self._find(Role.GROUP)

    @cached_property
    def weight(self) -> Column | None:
        return self._find(Role.WEIGHT)

    def _find(self, role: Role) -> Column | None:
        return next((column for column in self.dataset_columns if role in column.roles), None)

    @cached_property
    def key(self) -> tuple[Column, ...]:
        """Columns that identify a row; () if rows may be equal in all columns."""
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
        """SHA-256 of `wire`, in hexadecimal. Changing budgets makes no other contract."""
        return _digest(self.wire)

    @cached_property
    def wire(self) -> dict[str, Any]:
        """What callers and stored rows rely on, as JSON values: method, messages, columns by name.

        Budgets, descriptions, examples and comments are left out: an alarm or better words make no other contract.
        """
        response = self.predict.output_type
        messages = (self.predict.input_type, self.row, response, message_of(self.predictions_field), self.outcome)
        return {
            "method": f"{self.service.full_name}/{self.predict.name}",
            "outcome": self.outcome.full_name,
            **describe_types(self.predict),
            **describe_wire(messages),
            "row_columns": {column.name: _describe_values(column) for column in self.columns},
            "other_columns": {
                column.name: _describe_values(column) for column in (*self.outcome_columns, *self.answer)
            },
        }

    @cached_property
    def budgets_digest(self) -> str:
        """SHA-256, in hexadecimal, of what says when to worry: budgets of all columns, and rules for a dataset."""
        columns = {column.name: [getattr(column, name) for name in BUDGETS] for column in self.dataset_columns}
        return _digest({"columns": columns, "dataset": asdict(self.rules)})


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message type of a field that has one."""
    if field.message_type is None:
        raise ContractError(f"{field.full_name} is not a message field")
    return field.message_type


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _describe_values(column: Column) -> dict[str, Any]:
    """Which values a column may have, and what for."""
    left_out = {"description", "example", "name", "is_32_bit", *BUDGETS, *(() if column.category else ("category",))}
    return {name: value for name, value in asdict(column).items() if name not in left_out} | {
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
        ContractError: the service, its messages or their column options have another shape. A line for each problem.

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
    problems = Problems()
    problems.attempt(_require_text, predict.input_type, _REQUEST_FIELDS)
    problems.attempt(_require_text, predict.output_type, _RESPONSE_FIELDS)
    rows_field = problems.attempt(_only_repeated_message, predict.input_type)
    predictions_field = problems.attempt(_only_repeated_message, predict.output_type)
    columns = problems.attempt(_read_columns, rows_field.message_type) if rows_field else None
    rules = problems.attempt(_read_rules, rows_field.message_type) if rows_field else None
    outcome_columns = problems.attempt(_read_columns, outcome)
    answer = problems.attempt(_read_answer, predictions_field.message_type) if predictions_field else None
    if columns is not None and rows_field:
        problems.attempt(_check_row, rows_field.message_type, columns)
    if columns is not None and rows_field and rules:
        problems.attempt(_check_rules, rows_field.message_type, columns, rules)
    if outcome_columns is not None:
        problems.attempt(_check_outcome, outcome, outcome_columns)
    if columns is not None and outcome_columns is not None and rows_field:
        problems.attempt(_check_names, rows_field.message_type, outcome, (*columns, *outcome_columns))
    problems.raise_all()
    if not (rows_field and predictions_field and columns and outcome_columns and answer and rules):
        raise ContractError(f"{service.full_name} is no contract")  # Never: each has named its problem.
    return Contract(
        name=model_of_package(service.file.package),
        predict=predict,
        rows_field=rows_field,
        predictions_field=predictions_field,
        columns=columns,
        outcome=outcome,
        outcome_columns=outcome_columns,
        answer=answer,
        rules=rules,
    )


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
    problems = Problems()
    for name, value in given.items():
        lowest, highest = _RULE_RANGES[name]
        if not lowest <= value <= highest:
            problems.found.append(f"{row.full_name}: {name} must be from {lowest:g} to {highest:g}, not {value:g}")
    problems.raise_all()
    return DatasetRules(
        rejected_budget=options.rejected_budget,
        largest_gap_s=given.get("largest_gap_s"),
        disorder_budget=given.get("disorder_budget"),
        leakage_budget=given.get("leakage_budget"),
        drift_significance=given.get("drift_significance", 0.05),
    )


def _read_columns(message: Descriptor) -> tuple[Column, ...]:
    problems = Problems()
    columns = [problems.attempt(_read_column, message, field) for field in message.fields]
    problems.raise_all()
    return tuple(sorted(filter(None, columns), key=lambda column: column.number))


def _read_column(message: Descriptor, field: FieldDescriptor) -> Column:
    column = read_column(field)
    return replace(column, example=read_example(message, column))


def _read_answer(message: Descriptor) -> tuple[Column, ...]:
    problems = Problems()
    read = [problems.attempt(_read_column, message, field) for field in message.fields if is_column(field)]
    problems.raise_all()
    columns = sorted(filter(None, read), key=lambda column: column.number)
    for column in columns:
        if len(column.roles & ANSWERS) != 1 or column.roles - ANSWERS:
            names = ", ".join(sorted(f"ROLE_{role.name}" for role in column.roles)) or "none"
            problems.found.append(
                f"{message.full_name}.{column.name} has the roles {names}; a column of a prediction needs exactly one "
                f"of {', '.join(sorted(f'ROLE_{role.name}' for role in ANSWERS))}"
            )
    problems.attempt(_only_with, Role.PREDICTION, columns, message)
    if len([column for column in columns if column.roles & {Role.LOWER, Role.UPPER}]) not in (0, 2):
        problems.found.append(
            f"{message.full_name} needs one column with ROLE_LOWER and one with ROLE_UPPER, or neither"
        )
    for role in OF_A_CATEGORY:
        of_role = [column.category for column in columns if role in column.roles]
        if twice := sorted({category for category in of_role if of_role.count(category) > 1}):
            problems.found.append(
                f"{message.full_name} has several columns with ROLE_{role.name} of the category {', '.join(twice)}; "
                "keep one of each"
            )
    problems.raise_all()
    return tuple(columns)


def _only_with(role: Role, columns: Iterable[Column], message: Descriptor) -> Column:
    found = [column for column in columns if role in column.roles]
    if len(found) != 1:
        names = ", ".join(column.name for column in found) or "none"
        raise ContractError(
            f"{message.full_name} needs exactly one column with ROLE_{role.name}, it has {names}; "
            f"{'remove it from all but one' if found else 'give it to one'}"
        )
    return found[0]


def _at_most_one_with(role: Role, columns: Iterable[Column], message: Descriptor) -> None:
    found = [column.name for column in columns if role in column.roles]
    if len(found) > 1:
        raise ContractError(
            f"{message.full_name} needs at most one column with ROLE_{role.name}, it has {', '.join(found)}; remove it "
            "from all but one"
        )


def _only_repeated_message(message: Descriptor) -> FieldDescriptor:
    found = [field for field in message.fields if field.is_repeated and field.message_type is not None]
    if len(found) != 1:
        names = ", ".join(field.name for field in found) or "none"
        raise ContractError(
            f"{message.full_name} needs exactly one repeated message field, it has {names}; "
            f"{'keep one' if found else 'declare `repeated` a message that holds one row or one prediction'}"
        )
    return found[0]


def _require_text(message: Descriptor, names: tuple[str, ...]) -> None:
    problems = Problems()
    for name in names:
        field = message.fields_by_name.get(name)
        if field is None or field.type != FieldDescriptor.TYPE_STRING or field.is_repeated:
            problems.found.append(f"{message.full_name} needs a field `string {name}`; declare it")
    problems.raise_all()


def _check_names(row: Descriptor, outcome: Descriptor, columns: Iterable[Column]) -> None:
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"{row.full_name} and {outcome.full_name} share column names, rename: {', '.join(twice)}")


def _check_row(row: Descriptor, columns: Iterable[Column]) -> None:
    problems, listed = Problems(), tuple(columns)
    if not listed:
        problems.found.append(f"{row.full_name} has no column; declare one for each value that a caller sends")
    if misplaced := [c.name for c in listed if c.roles & {Role.LABEL, Role.WEIGHT, *ANSWERS}]:
        problems.found.append(
            f"{row.full_name} has columns that are known only afterwards, "
            f"move to the outcome or the prediction: {', '.join(misplaced)}"
        )
    for role in (Role.EVENT_TIME, Role.GROUP):
        problems.attempt(_at_most_one_with, role, listed, row)
    problems.raise_all()


def _check_rules(row: Descriptor, columns: Iterable[Column], rules: DatasetRules) -> None:
    if any(Role.EVENT_TIME in column.roles for column in columns):
        return
    problems = Problems()
    for name in ("largest_gap_s", "disorder_budget"):
        if getattr(rules, name) is not None:
            problems.found.append(
                f"{row.full_name}: {name} needs a column with ROLE_EVENT_TIME, there is none; give a Timestamp the "
                f"role, or remove {name}"
            )
    problems.raise_all()


def _check_outcome(outcome: Descriptor, columns: Iterable[Column]) -> None:
    problems, listed = Problems(), tuple(columns)
    problems.attempt(_only_with, Role.LABEL, listed, outcome)
    problems.attempt(_at_most_one_with, Role.WEIGHT, listed, outcome)
    if misplaced := [
        c.name for c in listed if c.roles & {Role.KEY, Role.EVENT_TIME, Role.FEATURE, Role.GROUP, *ANSWERS}
    ]:
        problems.found.append(
            f"{outcome.full_name} has columns that belong to the row or the prediction: {', '.join(misplaced)}"
        )
    problems.raise_all()
