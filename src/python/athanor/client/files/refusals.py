"""All that is wrong with refused rows: more than the details of one answer can hold."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from athanor.client.batches import Refused, move
from athanor.errors import FieldViolation, InvalidRequestError

Predict = Callable[[Sequence[Any]], object]


def find_all_violations(refused: Refused, predict: Predict) -> tuple[FieldViolation, ...]:
    """Asks for the rows behind those that an answer names, until all of them are named.

    Args:
        predict: `Client.predict`, with whatever it was asked with.

    Returns:
        Violations by their row's position among all rows, in the order of the rows.

    Raises:
        Whatever `predict` raises that is no InvalidRequestError.
    """
    found: list[FieldViolation] = []
    named = refused.error.violations
    # Among the refused rows, the first of those that `named` may be about.
    begin = 0
    while named:
        last = _row_of(named[-1], refused)
        if last < begin:
            return (*found, *named)
        # Room may have ended within the last row that is named, so it is asked for again, unless it stands alone.
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
    except InvalidRequestError as error:
        return tuple(move(violation, refused.rows_field, refused.first + begin) for violation in error.violations)
    return ()


def _row_of(violation: FieldViolation, refused: Refused) -> int:
    """Its row's position among the refused rows; negative if it is of no row."""
    found = re.match(rf"{re.escape(refused.rows_field)}\[([0-9]+)\]", violation.field)
    return int(found[1]) - refused.first if found else -1
