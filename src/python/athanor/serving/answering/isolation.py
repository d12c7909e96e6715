"""Finds the rows, and in them the values, on which a failing computation fails.

Valid rows can make a model fail: an encoder meets a text that it does not know, a feature divides by zero.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns
from athanor.contract.messages import is_missing
from athanor.contract.shown import shown
from athanor.errors import FieldViolation, NotComputableError
from athanor.release.predictor import Predictor
from athanor.serving.answering.refusals import Locate

# As many as the details of a gRPC status have room for. Finding one takes about 30 runs among 10,000 rows.
_MOST_NAMED: Final = 32


def explain_failure(predictor: Predictor, columns: Columns, count: int, locate: Locate) -> NotComputableError | None:
    """The error for the caller of `count` valid rows on which a predictor fails; None if no row is at fault."""
    if _fails(predictor, predictor.example):
        return None
    rows = find_failing(lambda rows: predictor.predict(_take(columns, rows)), count, _MOST_NAMED)
    if not rows:
        return None
    violations = tuple(v for row in rows for v in _describe(predictor, columns, row, locate))
    found = f"{'at least ' if len(rows) == _MOST_NAMED else ''}{len(rows)} of {count}"
    return NotComputableError(f"the model fails on {found} rows, which keep the contract", violations)


def find_failing(run: Callable[[slice], object], count: int, most: int) -> list[int]:
    """The first `most` positions on which `run` fails if it gets nothing else. Bisects: `most * log2(count)` runs."""
    found: list[int] = []

    def search(first: int, last: int) -> None:
        if first == last or len(found) == most:
            return
        try:
            run(slice(first, last))
        except Exception:  # noqa: BLE001 - features and graphs raise anything
            if last - first == 1:
                found.append(first)
                return
            middle = (first + last) // 2
            search(first, middle)
            search(middle, last)

    search(0, count)
    return found


def _fails(predictor: Predictor, columns: Columns) -> bool:
    try:
        predictor.predict(columns)
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _take(columns: Columns, rows: slice) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _describe(predictor: Predictor, columns: Columns, row: int, locate: Locate) -> list[FieldViolation]:
    """One violation for each value at fault; one for the row if no value is at fault alone."""
    found = _find_columns(predictor, columns, row)
    if not found:
        return [_violate(locate(row, ""), "is valid, but the model fails on its values together; change one")]
    return [
        _violate(
            locate(row, column.name),
            f"{_show(column, columns[column.name][row : row + 1])} is valid, but the model fails on it; "
            "give a value as in its training",
        )
        for column in found
    ]


def _show(column: Column, values: NDArray[Any]) -> str:
    return "a missing value" if is_missing(column, values)[0] else shown(column.shorten(values[0]))


def _violate(field: str, description: str) -> FieldViolation:
    return FieldViolation(field, "COMPUTABLE", description)


def _find_columns(predictor: Predictor, columns: Columns, row: int) -> list[Column]:
    """Columns whose value makes a row fail that is fine otherwise: one of the release's reference rows."""
    names = [column.name for column in predictor.contract.columns]
    table: dict[str, Any] = {name: np.repeat(predictor.example[name], len(names)) for name in names}
    for position, name in enumerate(names):
        table[name][position] = columns[name][row]
    failing = find_failing(lambda rows: predictor.predict(_take(table, rows)), len(names), len(names))
    return [predictor.contract.columns[position] for position in failing]
