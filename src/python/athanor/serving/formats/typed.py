"""The contract's own messages: reads questions from requests, and writes answers into responses."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError, Message

from athanor.contract.contract import Contract
from athanor.contract.messages import to_columns
from athanor.errors import FieldViolation, InvalidRequestError
from athanor.serving.answering.interface import Interface, Question
from athanor.serving.answering.prepared import Answer
from athanor.serving.formats.answers import list_answered, split, to_rows
from athanor.serving.formats.json_body import Turns
from athanor.serving.formats.raw import wire
from athanor.serving.formats.raw.wire import TooManyValuesError

# Bytes and rows of a request that are parsed at a time, and values that a row of more bytes may have.
_PART_BYTES: Final = 32 * 1024
_PART_ROWS: Final = 512
_MOST_VALUES: Final = 1_000


def parse(interface: Interface, content: bytes) -> Any:
    """Parses a request. Raises InvalidRequestError if the bytes are malformed."""
    try:
        return interface.request_class.FromString(content)
    except DecodeError as error:
        raise _malformed(interface, error) from None


def _malformed(interface: Interface, error: DecodeError) -> InvalidRequestError:
    return InvalidRequestError(f"the bytes are not a valid {interface.contract.predict.input_type.full_name}: {error}")


def read(interface: Interface, content: bytes, sticky_key: str = "") -> Turns[Question]:
    """The question in a serialised request.

    Raises:
        ModelNotFoundError: the request names another model.
        InvalidRequestError: the bytes are malformed, or the request has no rows, or too many.
    """
    if len(content) <= wire.SMALL_BYTES:
        return to_question(interface, parse(interface, content), sticky_key)
    contract, parts, texts = interface.contract, [], {"model_name": "", "semantic_version": ""}
    for part in _split(interface, content):
        message = parse(interface, part)
        texts = {name: getattr(message, name) or text for name, text in texts.items()}
        parts.append(to_columns(contract.columns, getattr(message, contract.rows_field.name)))
        yield
    interface.check_model(texts["model_name"])
    interface.check_count(sum(len(part[contract.columns[0].name]) for part in parts), contract.rows_field.name)
    columns = {column.name: np.concatenate([part[column.name] for part in parts]) for column in contract.columns}
    return interface.ask_by_columns(columns, interface.locate, texts["semantic_version"], sticky_key, content=content)


def _split(interface: Interface, content: bytes) -> Iterator[bytes]:
    """Parts of a request that are requests of some of its rows, once no row was seen to be too much."""
    field, begin, rows, first, where = interface.contract.rows_field, 0, 0, 0, "the request"
    try:
        for count, (number, _, start, end) in enumerate(wire.read_fields(content)):
            if number == field.number:
                rows += 1
                interface.check_count(rows, field.name)
                where = f"{field.name}[{rows - 1}]"
                _check_row(interface, content, start, end)
            elif count - rows > _MOST_VALUES:
                where = "the request"
                raise TooManyValuesError
            if end - begin > _PART_BYTES or rows - first == _PART_ROWS:
                yield content[begin:end]
                begin, first = end, rows
    except DecodeError as error:
        raise _malformed(interface, error) from None
    except TooManyValuesError:
        violation = FieldViolation(where, "TOO_MANY", f"has more than {_MOST_VALUES} fields; give each once")
        raise InvalidRequestError(f"{where} has more than {_MOST_VALUES} fields", (violation,)) from None
    yield content[begin:]


def _check_row(interface: Interface, content: bytes, start: int, end: int) -> None:
    """Raises TooManyValuesError for a row that would take long to parse. A smaller one cannot."""
    if end - start > _PART_BYTES:
        for _ in wire.check_values(content, interface.contract.row, _MOST_VALUES, start, end):
            pass


def to_question(interface: Interface, request: Any, sticky_key: str = "") -> Question:
    """The question in a request.

    Raises:
        ModelNotFoundError: the request names another model.
        InvalidRequestError: the request has no rows, or too many.
    """
    rows = getattr(request, interface.contract.rows_field.name)
    return interface.ask_by_messages(rows, request.model_name, request.semantic_version, sticky_key)


def to_response(interface: Interface, answer: Answer, request_id: str) -> Message:
    """An answer as the contract's response message. See `write` for one of many rows."""
    variant = answer.variant
    response = interface.response_class(
        model_name=interface.contract.name,
        semantic_version=variant.semantic_version,
        release_digest=variant.digest,
        request_id=request_id,
        variant=variant.name,
    )
    add = getattr(response, interface.contract.predictions_field.name).add
    for prediction in to_predictions(interface.contract, answer):
        add(**prediction)
    return response


def write(interface: Interface, answer: Answer, request_id: str) -> Turns[Message]:
    """As `to_response`, a few rows at a time."""
    first, *others = split(answer)
    response = to_response(interface, first, request_id)
    add = getattr(response, interface.contract.predictions_field.name).add
    for part in others:
        yield
        for prediction in to_predictions(interface.contract, part):
            add(**prediction)
    return response


def to_predictions(contract: Contract, answer: Answer) -> list[dict[str, Any]]:
    """The fields of the prediction message of each row."""
    columns = list_answered(contract, answer)
    return to_rows(columns, [column.name for column in columns], answer)
