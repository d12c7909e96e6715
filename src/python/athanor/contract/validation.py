"""Validation of values against the column options of a contract, over whole columns at once.

Training data and requests are validated here and nowhere else.
"""

import enum
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.messages import FIRST_US, OUT_OF_RANGE_US, is_missing
from athanor.contract.plans import MOST_COLUMNS, once
from athanor.contract.shown import shown
from athanor.errors import ContractError

# From this many rows on, the extremes of a column are checked first: most columns are valid, and this shows it fastest.
_MANY_ROWS = 1_000
# Up to this many rows, checking value by value is faster than starting array operations.
_FEW_ROWS = 8


class Rule(enum.Enum):
    """A rule that a value can break. The values are stable codes."""

    REQUIRED = "REQUIRED"
    FINITE = "FINITE"
    WHOLE = "WHOLE"
    MINIMUM = "MINIMUM"
    MAXIMUM = "MAXIMUM"
    CATEGORY = "CATEGORY"
    PATTERN = "PATTERN"
    TIMESTAMP = "TIMESTAMP"


@dataclass(frozen=True)
class Violation:
    """One value that breaks one rule.

    Attributes:
        row: position in the arrays, from 0.
        value: as in the array.
    """

    row: int
    column: Column
    rule: Rule
    value: Any

    def __str__(self) -> str:
        if self.rule is Rule.REQUIRED:
            return f"is required; give {self.column.allowed}"
        value = shown(self.column.shorten(self.value))
        return f"{value} is not allowed ({self.rule.value}); give {self.column.allowed}"


@dataclass(frozen=True)
class Breach:
    """All rows in which one column breaks one rule.

    Attributes:
        rows: positions, int64, ascending, at least one.
        values: of the column in these rows.
    """

    column: Column
    rule: Rule
    rows: NDArray[np.int64]
    values: NDArray[Any]

    def violation(self, position: int) -> Violation:
        """The violation in row `rows[position]`."""
        return Violation(int(self.rows[position]), self.column, self.rule, self.values[position])

    def __iter__(self) -> Iterator[Violation]:
        return map(self.violation, range(len(self.rows)))


def validate(columns: Sequence[Column], values: Columns) -> tuple[Breach, ...]:
    """Finds every value that breaks a rule of its column; empty when all are valid.

    Missing values (NaN, "", NaT) break REQUIRED or nothing. Infinities break FINITE and nothing else.

    Args:
        columns: to check.
        values: arrays of equal length `n` with the dtypes of the columns' kinds; other arrays are ignored.

    Raises:
        ContractError: an array is absent, has another dtype than its column's kind, or another length than the rest.
    """
    if _are_clean(columns, values):
        return ()
    _check_arrays(columns, values)
    numeric = [column for column in columns if column.kind.is_numeric]
    breaches = _validate_numbers(numeric, values) if numeric else []
    for column in columns:
        if column.kind is Kind.TEXT:
            breaches += _validate_text(column, values[column.name])
        elif column.kind is Kind.TIMESTAMP:
            breaches += _validate_timestamps(column, values[column.name])
    return tuple(breaches)


def _are_clean(columns: Sequence[Column], values: Columns) -> bool:
    """Whether a few rows are all valid, checked value by value: faster than arrays, and true of most requests."""
    length = None
    for name, dtype, accepts in _acceptors(columns):
        array = values.get(name)
        if array is None or array.dtype != dtype or len(array) > _FEW_ROWS or length not in (None, len(array)):
            return False
        length = len(array)
        for value in (array.view(np.int64) if dtype.kind == "M" else array).tolist():
            if not accepts(value):
                return False
    return True


@once
def _acceptors(columns: Sequence[Column]) -> tuple[tuple[str, np.dtype[Any], Callable[[Any], bool]], ...]:
    """Name and dtype of each column, and whether a value is allowed. An instant is given in microseconds."""
    return tuple((column.name, column.dtype, _acceptor(column)) for column in columns)


def _acceptor(column: Column) -> Callable[[Any], bool]:
    may_be_missing = column.may_be_missing
    if column.kind is Kind.TEXT:
        categories, pattern = frozenset(column.categories), re.compile(column.pattern)
        if categories:
            return lambda text: text in categories or (not text and may_be_missing)
        if column.pattern:
            return lambda text: may_be_missing if not text else pattern.fullmatch(text) is not None
        return lambda text: bool(text) or may_be_missing
    if column.kind is Kind.TIMESTAMP:
        missing = np.datetime64("NaT", "us").astype(np.int64).item()
        return lambda time: FIRST_US <= time < OUT_OF_RANGE_US or (time == missing and may_be_missing)
    minimum, maximum, _, whole = (limit.item() for limit in _limits((column,)))
    lowest, highest = max(minimum, -sys.float_info.max), min(maximum, sys.float_info.max)
    if whole:
        return lambda value: (
            (lowest <= value <= highest and value.is_integer()) or (may_be_missing and math.isnan(value))
        )
    return lambda value: lowest <= value <= highest or (may_be_missing and math.isnan(value))


def _check_arrays(columns: Sequence[Column], values: Columns) -> None:
    if absent := [column.name for column in columns if column.name not in values]:
        raise ContractError(f"columns without an array: {', '.join(absent)}; give one for each column")
    for column in columns:
        if values[column.name].dtype != column.dtype:
            found = values[column.name].dtype
            raise ContractError(f"{column.name} has dtype {found}; its kind, {column.kind.value}, needs {column.dtype}")
    lengths = {column.name: len(values[column.name]) for column in columns}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ContractError(f"columns differ in length, each row needs one value of every column: {listed}")


def _breach(column: Column, rule: Rule, broken: NDArray[np.bool_], values: NDArray[Any]) -> list[Breach]:
    rows = np.flatnonzero(broken)
    return [Breach(column, rule, rows, values[rows])] if len(rows) else []


def _validate_numbers(columns: Sequence[Column], values: Columns) -> list[Breach]:
    """Checks all numeric columns as one array of shape (columns, rows), in a few array operations."""
    if len(values[columns[0].name]) >= _MANY_ROWS:
        columns = [column for column in columns if not _is_clean(column, values[column.name])]
        if not columns:
            return []
    numbers = np.stack([values[column.name] for column in columns])
    minimum, maximum, required, whole = _limits(tuple(columns))
    infinite = np.isinf(numbers)
    # Comparisons with NaN are false, so a missing value breaks none of them.
    broken_rules = {
        Rule.REQUIRED: np.isnan(numbers) & required,
        Rule.FINITE: infinite,
        Rule.WHOLE: whole & ~infinite & (np.floor(numbers) < numbers),
        Rule.MINIMUM: (numbers < minimum) & ~infinite,
        Rule.MAXIMUM: (numbers > maximum) & ~infinite,
    }
    return [
        breach
        for rule, broken in broken_rules.items()
        if broken.any()
        for column, broken_rows in zip(columns, broken, strict=True)
        for breach in _breach(column, rule, broken_rows, values[column.name])
    ]


def _is_clean(column: Column, values: NDArray[Any]) -> bool:
    """Whether a numeric column is valid throughout, by its extremes."""
    minimum, maximum, required, whole = (limit.item() for limit in _limits((column,)))
    # Unlike nanmin they do not warn where every value is missing.
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if np.isnan(low):
        return not required
    if not (np.isfinite(low) and np.isfinite(high) and low >= minimum and high <= maximum):
        return False
    return not (required and np.isnan(values).any()) and not (whole and (np.floor(values) < values).any())


@lru_cache(MOST_COLUMNS)
def _limits(columns: tuple[Column, ...]) -> tuple[NDArray[Any], ...]:
    """Minimum, maximum, whether required and whether whole, each of shape (columns, 1)."""
    is_boolean = [column.kind is Kind.BOOLEAN for column in columns]
    limits = (
        [0.0 if boolean else column.minimum for column, boolean in zip(columns, is_boolean, strict=True)],
        [1.0 if boolean else column.maximum for column, boolean in zip(columns, is_boolean, strict=True)],
        [not column.may_be_missing for column in columns],
        [column.kind is not Kind.NUMBER for column in columns],
    )
    return tuple(np.array(limit)[:, np.newaxis] for limit in limits)


def _validate_text(column: Column, values: NDArray[Any]) -> list[Breach]:
    # A column has far fewer distinct values than rows: check each of them once.
    distinct = set(values)
    has_missing = "" in distinct
    distinct.discard("")
    rule = Rule.CATEGORY if column.categories else Rule.PATTERN
    if column.categories:
        wrong = distinct.difference(column.categories)
    else:
        wrong = {value for value in distinct if column.pattern and not re.fullmatch(column.pattern, value)}
    breaches = []
    if has_missing and not column.may_be_missing:
        breaches += _breach(column, Rule.REQUIRED, is_missing(column, values), values)
    if wrong:
        breaches += _breach(column, rule, np.fromiter((value in wrong for value in values), np.bool_), values)
    return breaches


def _validate_timestamps(column: Column, values: NDArray[Any]) -> list[Breach]:
    # Comparisons with NaT are false.
    out_of_range = (values < np.datetime64(FIRST_US, "us")) | (values >= np.datetime64(OUT_OF_RANGE_US, "us"))
    missing = is_missing(column, values) & (not column.may_be_missing)
    return _breach(column, Rule.REQUIRED, missing, values) + _breach(column, Rule.TIMESTAMP, out_of_range, values)
