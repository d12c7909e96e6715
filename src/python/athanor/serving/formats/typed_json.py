"""The contract's own messages as protobuf JSON: reads questions from requests, and writes answers.

Protobuf itself does not read them: it builds a message of every row before they can be counted, and stops at the first
value that it cannot read, in words about Python.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from athanor.contract.columns import Column, Columns
from athanor.contract.contract import Contract, message_of
from athanor.contract.plans import MOST_CONTRACTS
from athanor.contract.shown import shown
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.answering.refusals import Unread, Violations
from athanor.serving.formats import json_body, values
from athanor.serving.formats.answers import list_answered, split, to_json, to_rows
from athanor.serving.formats.json_body import Limits, Turns
from athanor.serving.formats.values import UnreadableError, show

# A body may have this many lists, objects and values outside its rows.
_SLACK: Final = 1_000
# Members of a row, of which each wrong one is named.
_MOST_MEMBERS: Final = 1_000
_ROWS_A_TURN: Final = 32


def read(interface: Interface, body: bytes, sticky_key: str = "") -> Turns[Question]:
    """The question in a body, for the model of an interface; a model that the body names is ignored.

    Raises:
        InvalidRequestError: the body is malformed, has no rows or too many, or values that cannot be read.
    """
    contract, field = interface.contract, interface.contract.rows_field.name
    most_values = interface.max_rows * (len(contract.columns) + 1) + _SLACK
    text = yield from json_body.read_text(
        body, Limits(interface.max_rows + _SLACK, most_values, field, interface.max_rows)
    )
    members = _name_members(contract)
    rows, texts, violations = RowReader(contract), dict[str, str](), Violations()
    for name, position, value in json_body.read_members(text):
        member = members.get(name)
        if member == field and position is not None:
            if rows.count == interface.max_rows:
                interface.check_count(rows.count + 1, field)
            rows.add(value)
            if position % _ROWS_A_TURN == 0:
                yield
        elif member is None:
            violations.add(shown(name), "UNKNOWN", f"is not a member of a request; give {', '.join(members)}")
        elif isinstance(value, str) and position is None and member != field:
            texts[member] = value
        elif position is not None or value not in (None, [] if member == field else None):
            what, given = "a list of rows" if member == field else "text", show(value) if position is None else "a list"
            violations.add(member, "TYPE", f"is {given}; give {what}")
    violations.raise_any("the body is not a request of this model")
    interface.check_count(rows.count, field)
    return interface.ask_by_columns(
        rows.columns(), interface.locate, texts.get("semantic_version", ""), sticky_key, rows.unread
    )


def _name_members(contract: Contract) -> Mapping[str, str]:
    """Fields of a request, by their names in JSON and in the .proto file."""
    fields = contract.predict.input_type.fields_by_name
    known = (fields[name] for name in (contract.rows_field.name, "model_name", "semantic_version"))
    return {name: field.name for field in known for name in (field.json_name, field.name)}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How rows are read: for each column its reader and what stands for a missing value, and positions by name."""

    columns: Sequence[Column]
    readers: Sequence[values.Read]
    missing: Sequence[Any]
    positions: Mapping[str, int]


@lru_cache(MOST_CONTRACTS)
def _make_plan(contract: Contract) -> _Plan:
    columns, fields = contract.columns, contract.row.fields_by_name
    return _Plan(
        columns,
        tuple(map(values.reader_of, columns)),
        tuple(values.MISSING[column.kind] for column in columns),
        {name: at for at, c in enumerate(columns) for name in (c.name, fields[c.name].json_name)},
    )


class RowReader:
    """Reads rows, given as JSON values, into columns."""

    def __init__(self, contract: Contract) -> None:
        self._plan = _make_plan(contract)
        self._rows: list[list[Any]] = []
        self.unread = Unread()

    @property
    def count(self) -> int:
        return len(self._rows)

    def add(self, row: Any) -> None:
        read = list(self._plan.missing)
        self._rows.append(read)
        if not isinstance(row, dict):
            self._note(None, "TYPE", f"is {show(row)}; give an object")
        elif len(row) > _MOST_MEMBERS:
            self._note(None, "TOO_MANY", f"has {len(row)} members; give each column once")
        else:
            self._read(row, read)

    def _note(self, column: Column | None, rule: str, description: str, name: str = "") -> None:
        self.unread.add(self.count - 1, column, rule, description, name)

    def _read(self, row: Mapping[str, Any], read: list[Any]) -> None:
        plan, given = self._plan, set[int]()
        for name, value in row.items():
            at = plan.positions.get(name)
            if at is None:
                self._note(None, "UNKNOWN", "is not a column", shown(name))
                continue
            if at in given:
                self._note(plan.columns[at], "DUPLICATE", "is given by both of its names")
            elif value is not None:
                try:
                    read[at] = plan.readers[at](value)
                except UnreadableError as error:
                    self._note(plan.columns[at], error.rule, error.description)
            given.add(at)

    def columns(self) -> Columns:
        """The columns of all rows, which the reader then forgets."""
        rows, self._rows = self._rows, []
        plan = self._plan
        return {
            column.name: values.to_array(column, list(column_values))
            for column, column_values in zip(plan.columns, zip(*rows, strict=True), strict=True)
        }


def write(interface: Interface, answer: Answer, request_id: str) -> Turns[str]:
    """An answer as the contract's response message. Raises ValueError for a number that JSON does not have."""
    contract, variant = interface.contract, answer.variant
    parts = list[str]()
    for part in split(answer):
        if parts:
            yield
        parts.append(to_json(to_predictions(contract, part))[1:-1])
    about = to_json(
        {
            "modelName": contract.name,
            "semanticVersion": variant.semantic_version,
            "releaseDigest": variant.digest,
            "requestId": request_id,
            "variant": variant.name,
        }
    )
    return f'{{"{contract.predictions_field.json_name}": [{", ".join(parts)}], {about[1:]}'


def to_predictions(contract: Contract, answer: Answer) -> list[dict[str, Any]]:
    """The prediction message of each row."""
    fields, columns = message_of(contract.predictions_field).fields_by_name, list_answered(contract, answer)
    return to_rows(columns, [fields[column.name].json_name for column in columns], answer)
