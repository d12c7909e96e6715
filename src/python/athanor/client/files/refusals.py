"""All violations of a refused batch: more than one response can hold."""

from collections.abc import Callable, Sequence
from typing import Any

from athanor.client.batches import Refused, match_row, renumber
from athanor.errors import FieldViolation, InvalidAnswerError, InvalidRequestError

Predict = Callable[[Sequence[Any]], object]


def find_all_violations(refused: Refused, predict: Predict) -> tuple[FieldViolation, ...]:
    """Sends the rows after the last one that a response names, until a response names none.

    Args:
        predict: `Client.predict` with the options of the batch.

    Returns:
        Violations by position among all rows, in the order of the rows.

    Raises:
        The errors of `predict` but InvalidRequestError and InvalidAnswerError.
    """
    found: list[FieldViolation] = []
    named = refused.error.violations
    # First of the refused rows that `named` can be about.
    begin = 0
    while named:
        last = _row_of(named[-1], refused)
        if last < begin:
            return (*found, *named)
        # The response may have run out of room within the last row it names: send it again, unless it is the only one.
        keeps_last = last == begin
        found += [violation for violation in named if keeps_last or _row_of(violation, refused) < last]
        begin = last + keeps_last
        named = _ask(refused, begin, predict)
    return tuple(found)


def _ask(refused: Refused, begin: int, predict: Predict) -> tuple[FieldViolation, ...]:
    rows = refused.rows[begin:]
    try:
        if rows:
            predict(rows)
    except (InvalidRequestError, InvalidAnswerError) as error:
        return tuple(renumber(violation, refused.rows_field, refused.first + begin) for violation in error.violations)
    return ()


def _row_of(violation: FieldViolation, refused: Refused) -> int:
    """Position of its row among the refused rows; negative if it is not of a row."""
    found = match_row(violation, refused.rows_field)
    return int(found[1]) - refused.first if found else -1
