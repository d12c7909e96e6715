"""Answers as callers read them: a release with an older contract than the interface's lacks some of its columns."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.serving.answering.prepared import Answer, take

ROWS_A_TURN: Final = 128
"""Rows of an answer that are written before others have their turn."""

to_json: Final = json.JSONEncoder(allow_nan=False).encode
"""Raises ValueError for a number that JSON does not have. `json.dumps` would make an encoder for each call."""


def list_answered(contract: Contract, answer: Answer) -> Sequence[Column]:
    """The columns of a contract that an answer has."""
    if answer.variant.contract is contract:
        return contract.answer
    return [column for column in contract.answer if column.name in answer.answers]


def split(answer: Answer) -> Iterable[Answer]:
    """Parts of an answer without its features: after one is written, others have their turn. There is at least one."""
    return (answer,) if answer.count <= ROWS_A_TURN else _split(answer)


def _split(answer: Answer) -> Iterator[Answer]:
    for first in range(0, answer.count, ROWS_A_TURN):
        rows = slice(first, min(first + ROWS_A_TURN, answer.count))
        count = rows.stop - rows.start
        yield replace(
            answer, answers=take(answer.answers, rows), first=answer.first + first, count=count, features=None
        )


def to_values(column: Column, answer: Answer) -> list[Any]:
    """The values of a column as messages and JSON have them: floats, whole numbers, booleans or texts."""
    values = answer.answers[column.name]
    if column.kind is Kind.BOOLEAN:
        values = values.astype(np.bool_)
    elif column.kind is Kind.INTEGER:
        values = values.astype(np.int64)
    listed: list[Any] = values.tolist()
    return listed


def to_rows(columns: Sequence[Column], names: Sequence[str], answer: Answer) -> list[dict[str, Any]]:
    """The values of each row by name of its column."""
    values = [to_values(column, answer) for column in columns]
    if len(names) == 1:
        # For 1,000 rows a quarter of the time of the general way.
        (name,), (listed,) = names, values
        return [{name: value} for value in listed]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
