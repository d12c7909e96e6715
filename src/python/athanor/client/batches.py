"""Batches of many rows: one request each, with answers and violations by position among all rows."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from athanor.client.calls import Call, CallOptions
from athanor.client.contract.method import AnsweredBy, PredictMethod
from athanor.errors import FieldViolation, RowsError, ServiceError, SettingsError

DEFAULT_BATCH_ROWS: Final = 1_000
DEFAULT_IN_FLIGHT: Final = 4

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Predicted:
    """Prediction for one of many rows.

    Attributes:
        row: position among all rows, from 0.
        prediction: message of the prediction.
    """

    row: int
    prediction: Any
    answered_by: AnsweredBy


@dataclass(frozen=True)
class Refused:
    """A batch of which at least one row, or its answer, breaks the contract, or makes the model fail.

    Attributes:
        first: position of the first row among all rows, from 0.
        rows_field: name of the request's field with the rows.
        error: violations by position among all rows; a response has room for the first few dozen only.
    """

    first: int
    rows: Sequence[Any]
    rows_field: str
    error: RowsError


OnRefused = Callable[[Refused], None]


@dataclass(frozen=True)
class Batching:
    """How rows are divided into requests.

    Attributes:
        batch_rows: rows in each request but the last.
        in_flight: maximum of requests sent whose predictions were not taken yet.
        options: of each request.
    """

    batch_rows: int
    in_flight: int
    options: CallOptions

    def __post_init__(self) -> None:
        """Raises SettingsError if a number is below 1."""
        require_count("batch_rows", self.batch_rows)
        require_count("in_flight", self.in_flight)


def require_count(name: str, value: int) -> None:
    """Raises SettingsError if the value is below 1."""
    if value < 1:
        raise SettingsError(f"{name} is {value}; give a whole number of at least 1")


@dataclass(frozen=True)
class RowBatch:
    """Rows of one request.

    Attributes:
        first: position of the first row among all rows, from 0.
    """

    first: int
    rows: Sequence[Any]
    call: Call
    method: PredictMethod

    def to_predicted(self, response: Message) -> Iterator[Predicted]:
        """Raises ServiceError unless there is one prediction for each row."""
        predictions = getattr(response, self.method.predictions_field)
        if len(predictions) != len(self.rows):
            raise ServiceError(f"the service answered {len(self.rows)} rows with {len(predictions)} predictions")
        answered_by = AnsweredBy(**{name: getattr(response, name) for name in AnsweredBy.__dataclass_fields__})
        for row, prediction in enumerate(predictions, self.first):
            yield Predicted(row, prediction, answered_by)

    def refuse(self, error: RowsError, on_refused: OnRefused | None) -> None:
        """Passes the error to `on_refused`, or raises it without one. Violations are numbered among all rows."""
        moved = tuple(renumber(violation, self.method.rows_field, self.first) for violation in error.violations)
        numbered = type(error)(str(error), moved)
        if on_refused is None:
            raise numbered
        on_refused(Refused(self.first, self.rows, self.method.rows_field, numbered))


def renumber(violation: FieldViolation, rows_field: str, first: int) -> FieldViolation:
    """The violation with its row numbered from `first` instead of 0."""
    found = match_row(violation, rows_field)
    if found is None:
        return violation
    moved = f"{rows_field}[{int(found[1]) + first}]"
    description = violation.description
    if description.startswith(found[0]):
        description = moved + description[found.end() :]
    return FieldViolation(moved + violation.field[found.end() :], violation.rule, description)


def match_row(violation: FieldViolation, rows_field: str) -> re.Match[str] | None:
    """Match of the row in a violation's field, its position as the first group; None if it is not of a row."""
    return re.match(rf"{re.escape(rows_field)}\[([0-9]+)\]", violation.field)


def split_rows(rows: Iterable[_Row], size: int) -> Iterator[tuple[int, list[_Row]]]:
    """Lists of `size` rows, the last one shorter, each with the position of its first row."""
    iterator = iter(rows)
    for first in count(0, size):
        batch = list(islice(iterator, size))
        if not batch:
            return
        yield first, batch


async def split_rows_async(
    rows: Iterable[_Row] | AsyncIterable[_Row], size: int
) -> AsyncIterator[tuple[int, list[_Row]]]:
    """As `split_rows`, for rows that may come asynchronously."""
    if isinstance(rows, Iterable):
        for first, batch in split_rows(rows, size):
            yield first, batch
        return
    first, waiting = 0, list[_Row]()
    async for row in rows:
        waiting.append(row)
        if len(waiting) == size:
            yield first, waiting
            first, waiting = first + size, []
    if waiting:
        yield first, waiting
