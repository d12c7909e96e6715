"""Many rows as several requests: how they are cut, and how answers and refusals find their rows again."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from athanor.client.calls import Call, Options
from athanor.client.stubs import Stubs
from athanor.errors import FieldViolation, InvalidRequestError, ServiceError, SettingsError

DEFAULT_BATCH_ROWS: Final = 1_000
DEFAULT_IN_FLIGHT: Final = 4

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class AnsweredBy:
    """What answered a request: the answer's fields of the same names."""

    model_name: str
    semantic_version: str
    release_digest: str
    request_id: str
    variant: str


@dataclass(frozen=True)
class Predicted:
    """The answer to one of many rows.

    Attributes:
        row: its position among all rows, from 0.
        prediction: the message that the service predicted for it.
    """

    row: int
    prediction: Any
    answered_by: AnsweredBy


@dataclass(frozen=True)
class Refused:
    """Rows that were sent together and of which at least one breaks the contract.

    Attributes:
        first: position of the first among all rows, from 0.
        rows_field: name of the request's field that held them.
        error: names violations by their position among all rows; a service's answer has room for the first few dozen.
    """

    first: int
    rows: Sequence[Any]
    rows_field: str
    error: InvalidRequestError


OnRefused = Callable[[Refused], None]


@dataclass(frozen=True)
class Cut:
    """How many rows become requests.

    Attributes:
        batch_rows: rows in each but the last.
        in_flight: most requests that are under way, or answered and not yet taken.
        options: of each request.
    """

    batch_rows: int
    in_flight: int
    options: Options

    def __post_init__(self) -> None:
        """Raises SettingsError if a number is below 1."""
        for name, value in (("batch_rows", self.batch_rows), ("in_flight", self.in_flight)):
            if value < 1:
                raise SettingsError(f"{name} is {value}; give a whole number of at least 1")


@dataclass(frozen=True)
class Batch:
    """Rows that are sent together.

    Attributes:
        first: position of the first among all rows, from 0.
    """

    first: int
    rows: Sequence[Any]
    call: Call
    stubs: Stubs

    def to_predicted(self, response: Message) -> Iterator[Predicted]:
        """Raises ServiceError if there is not one prediction for each row."""
        predictions = getattr(response, self.stubs.predictions_field)
        if len(predictions) != len(self.rows):
            raise ServiceError(f"the service answered {len(self.rows)} rows with {len(predictions)} predictions")
        answered_by = AnsweredBy(**{name: getattr(response, name) for name in AnsweredBy.__dataclass_fields__})
        for row, prediction in enumerate(predictions, self.first):
            yield Predicted(row, prediction, answered_by)

    def refuse(self, error: InvalidRequestError, on_refused: OnRefused | None) -> None:
        """Tells of a refusal, its rows numbered among all rows. Raises it if nobody wants to be told."""
        moved = tuple(move(violation, self.stubs.rows_field, self.first) for violation in error.violations)
        numbered = InvalidRequestError(str(error), moved)
        if on_refused is None:
            raise numbered
        on_refused(Refused(self.first, self.rows, self.stubs.rows_field, numbered))


def move(violation: FieldViolation, rows_field: str, first: int) -> FieldViolation:
    """The same violation, its row numbered from `first` instead of 0."""
    found = re.match(rf"{re.escape(rows_field)}\[([0-9]+)\]", violation.field)
    if found is None:
        return violation
    moved = f"{rows_field}[{int(found[1]) + first}]"
    description = violation.description
    if description.startswith(found[0]):
        description = moved + description[found.end() :]
    return FieldViolation(moved + violation.field[found.end() :], violation.rule, description)


def cut(rows: Iterable[_Row], size: int) -> Iterator[tuple[int, list[_Row]]]:
    """Lists of `size` rows, the last of what is left, each with the position of its first row."""
    iterator = iter(rows)
    for first in count(0, size):
        batch = list(islice(iterator, size))
        if not batch:
            return
        yield first, batch


async def cut_async(rows: Iterable[_Row] | AsyncIterable[_Row], size: int) -> AsyncIterator[tuple[int, list[_Row]]]:
    """As `cut`, of rows that may be waited for."""
    if isinstance(rows, Iterable):
        for first, batch in cut(rows, size):
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
