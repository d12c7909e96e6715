"""Rules for values and rows, checked batch by batch."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.contract import Contract
from athanor.contract.messages import OUT_OF_RANGE_US, is_missing
from athanor.contract.shown import cut, shown
from athanor.contract.validation import Breach, Rule, validate
from athanor.data.checks.findings import Finding
from athanor.data.dataset import RowCheck
from athanor.data.sources.columns.types import problem
from athanor.data.sources.source import Unfit, UnreadRows
from athanor.data.tables.tables import Mistyped, arrow_schema, from_arrow, null_rows, to_arrow, to_lenient_arrow
from athanor.data.tables.untyped import UntypedText
from athanor.errors import ContractError

TYPE: Final = "TYPE"
FUTURE: Final = "FUTURE"
UNIQUE: Final = "UNIQUE"
REASONS: Final = "_reasons"
WHERE: Final = "_where"
SAMPLES: Final = 3
_NAMING_COLUMNS: Final = 3


@dataclass(frozen=True)
class RowViolations:
    """The rows of a batch that break one rule.

    Attributes:
        column: its name, "" for a rule about whole rows.
        rule: stable code: the contract's rule, TYPE, FUTURE, or the name of a row check.
        rows: positions, ascending, at least one.
        describe: returns what is wrong with the i-th of them.
    """

    column: str
    rule: str
    rows: NDArray[np.int64]
    describe: Callable[[int], str]

    @property
    def reason(self) -> str:
        return f"{self.column} {self.rule}".strip()


@dataclass
class Tally:
    """Violations counted over all batches so far.

    Attributes:
        rows: number of rows validated.
        rejected: number of rejected rows by reason; a row that breaks several rules counts under the first.
        broken: number of rows that break a rule, by column and rule; a row counts under each rule.
        samples: up to three descriptions per rule.
    """

    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def count(self, column: str, rule: str, count: int, samples: Sequence[str]) -> None:
        self.broken[column, rule] += count
        known = self.samples.setdefault((column, rule), [])
        known += samples[: SAMPLES - len(known)]

    def add(self, other: "Tally") -> None:
        self.rows += other.rows
        self.rejected.update(other.rejected)
        for (column, rule), count in other.broken.items():
            self.count(column, rule, count, other.samples[column, rule])

    def reject_repeated(self, contract: Contract, rows: pa.Table) -> pa.Table:
        """Counts rows that share their key with another row; returns them with the reason UNIQUE."""
        if rows.num_rows:
            samples = rows.slice(0, SAMPLES)
            values = from_arrow(contract.key, samples)
            named = [
                f"{row_name(contract, values, row)} is also the key of another row" for row in range(samples.num_rows)
            ]
            self.count("", UNIQUE, rows.num_rows, named)
            self.rejected[UNIQUE] += rows.num_rows
        lenient = to_lenient_arrow(contract.dataset_columns, from_arrow(contract.dataset_columns, rows))
        return _add_reasons(lenient, pa.array([[UNIQUE]] * rows.num_rows, pa.list_(pa.string())))

    def findings(self, contract: Contract) -> Iterator[Finding]:
        """All broken rules. If more rows than the rejected budget break one, each finding refuses the dataset."""
        rejected = self.rejected.total()
        share = rejected / self.rows if self.rows else 0.0
        refuses = share > contract.rules.rejected_budget
        if refuses:
            allowed = f"{contract.rules.rejected_budget:.2%}"
            message = f"REJECTED_BUDGET: {rejected} of {self.rows} rows ({share:.2%}) break a rule, allowed: {allowed}"
            yield Finding("", "REJECTED_BUDGET", rejected, share, message)
        for (column, rule), count in self.broken.items():
            of_all = count / self.rows
            message = f"{column} {rule}: {count} rows ({of_all:.2%})".strip()
            yield Finding(column, rule, count, of_all, message, tuple(self.samples[column, rule]), refuses)


@dataclass(frozen=True)
class ValidatedBatch:
    """A batch split into accepted and rejected rows.

    Attributes:
        kept: the rows that pass every rule, from `to_arrow`, in their original order.
        rejected: the other rows with their `_reasons`, from `to_lenient_arrow`; and `_where` they stand in the raw
            input, null if the transform got them.
        tally: of this batch.
    """

    kept: pa.Table
    rejected: pa.Table
    tally: Tally


def validate_batch(
    contract: Contract,
    row_checks: Sequence[RowCheck],
    values: Columns,
    mistyped: Sequence[Mistyped],
    as_of: datetime,
) -> ValidatedBatch:
    """Splits a batch into the rows that pass every rule and those that do not.

    Args:
        values: arrays for all of `contract.dataset_columns`.
        mistyped: values that are not of their column's kind; they are missing in `values`.
        as_of: rows with a later event time are rejected.

    Raises:
        ContractError: a row check does not return one bool for each row.
    """
    rows = len(values[contract.label.name])
    broken = [
        *_find_mistyped(mistyped),
        *_find_breaches(contract, values, mistyped),
        *_find_future(contract, values, as_of),
    ]
    is_broken = np.zeros(rows, dtype=np.bool_)
    for found in broken:
        is_broken[found.rows] = True
    by_checks = list(_run_checks(row_checks, values, np.flatnonzero(~is_broken)))
    for found in by_checks:
        is_broken[found.rows] = True
    broken += by_checks
    tally = _count(broken, rows, lambda row: row_name(contract, values, row))
    kept = to_arrow(contract.dataset_columns, _take(values, ~is_broken) if broken else values)
    rejected = to_lenient_arrow(contract.dataset_columns, _take(values, is_broken))
    return ValidatedBatch(kept, _add_reasons(rejected, _reasons(broken)), tally)


def reject_unread(contract: Contract, unread: UnreadRows) -> ValidatedBatch:
    """Rejects rows that a source could not read: the transform never gets them, so all their columns are null."""
    rows = np.unique(np.concatenate([unfit.rows for unfit in unread.unfit]))
    broken = [
        RowViolations(unfit.column, TYPE, np.searchsorted(rows, unfit.rows), _describe_unfit(unfit))
        for unfit in unread.unfit
    ]
    kept = arrow_schema(contract.dataset_columns).empty_table()
    nulls = null_rows(contract.dataset_columns, len(rows))
    where = [f"{unread.file}, row {row:,}" for row in rows]
    tally = _count(broken, len(rows), lambda position: where[position])
    return ValidatedBatch(kept, _add_reasons(nulls, _reasons(broken), where), tally)


def _add_reasons(rejected: pa.Table, reasons: pa.Array, where: Sequence[str | None] = ()) -> pa.Table:
    where = where or [None] * rejected.num_rows
    return rejected.append_column(REASONS, reasons).append_column(WHERE, pa.array(where, pa.string()))


def _describe_unfit(unfit: Unfit) -> Callable[[int], str]:
    return lambda i: f"{problem(unfit.values[i], unfit.kind)} ({TYPE})"


def _take(values: Columns, chosen: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: array[chosen] for name, array in values.items()}


def _find_mistyped(mistyped: Sequence[Mistyped]) -> Iterator[RowViolations]:
    for found in mistyped:
        yield RowViolations(found.column.name, TYPE, found.rows, _describe_mistyped(found))


def _describe_mistyped(found: Mistyped) -> Callable[[int], str]:
    allowed = found.column.allowed
    if found.column.kind is Kind.TIMESTAMP:
        allowed += " with a time zone, in the years 1 to 9999"
    return lambda i: f"{_describe_value(found.values[i], found.column)} ({TYPE}); give {allowed}"


def _describe_value(value: Any, column: Column) -> str:
    if isinstance(value, UntypedText):
        return problem(value, arrow_schema([column]).field(0).type)
    if column.kind is Kind.TIMESTAMP and isinstance(value, datetime) and value.tzinfo is None:
        return (
            f"{value} has no time zone: name it in the transform, such as frame[{column.name!r}].dt.tz_localize('UTC')"
        )
    return f"{shown(value)} is {type(value).__name__}"


def _find_breaches(contract: Contract, values: Columns, mistyped: Sequence[Mistyped]) -> Iterator[RowViolations]:
    """Values that break the contract's rules. A value of the wrong type does not also count as missing."""
    of_wrong_type = {found.column: found.rows for found in mistyped}
    for breach in validate(contract.dataset_columns, values):
        found = breach
        if breach.rule is Rule.REQUIRED and breach.column in of_wrong_type:
            really = ~np.isin(breach.rows, of_wrong_type[breach.column])
            found = Breach(breach.column, breach.rule, breach.rows[really], breach.values[really])
        if len(found.rows):
            yield RowViolations(found.column.name, found.rule.value, found.rows, _describe_breach(found))


def _describe_breach(breach: Breach) -> Callable[[int], str]:
    return lambda i: str(breach.violation(i))


def _find_future(contract: Contract, values: Columns, as_of: datetime) -> Iterator[RowViolations]:
    """Rows whose event time is after `as_of`; none without event times. Comparisons with NaT are false."""
    if contract.event_time is None:
        return
    name = contract.event_time.name
    # An instant beyond the calendar already breaks TIMESTAMP.
    latest = np.datetime64(int(as_of.timestamp() * 1_000_000), "us")
    beyond = np.datetime64(OUT_OF_RANGE_US, "us")
    rows = np.flatnonzero((values[name] > latest) & (values[name] < beyond))
    if len(rows):
        yield RowViolations(
            name,
            FUTURE,
            rows,
            lambda i: f"{values[name][rows[i]]} is after {latest} ({FUTURE}); events must not lie in the future",
        )


def _run_checks(checks: Sequence[RowCheck], values: Columns, rows: NDArray[np.int64]) -> Iterator[RowViolations]:
    """The project's own rules, on the rows that pass all others."""
    if not checks or not len(rows):
        return
    validated = _take(values, rows)
    for check in checks:
        wrong = np.asarray(check(validated))
        if wrong.dtype != np.bool_ or wrong.shape != rows.shape:
            raise ContractError(
                f"row check {check.__name__} returned {wrong.dtype} of shape {wrong.shape}; it must return bool of "
                f"shape {rows.shape}, True for each row that is wrong"
            )
        if wrong.any():
            yield RowViolations("", check.__name__, rows[wrong], _describe_check(check))


def _describe_check(check: RowCheck) -> Callable[[int], str]:
    about = (check.__doc__ or check.__name__).strip().splitlines()[0]
    return lambda i: about


def _count(broken: Sequence[RowViolations], rows: int, name: Callable[[Any], str]) -> Tally:
    tally = Tally(rows)
    counted = np.zeros(rows, dtype=np.bool_)
    for found in broken:
        samples = [f"{name(row)}: {found.describe(i)}" for i, row in enumerate(found.rows[:SAMPLES])]
        tally.count(found.column, found.rule, len(found.rows), samples)
        if new := int((~counted[found.rows]).sum()):
            tally.rejected[found.reason] += new
        counted[found.rows] = True
    return tally


def naming_columns(contract: Contract) -> tuple[Column, ...]:
    """Columns by which people find a row: the key, or the first few where there is none."""
    return contract.key or contract.columns[:_NAMING_COLUMNS]


def row_name(contract: Contract, values: Columns, row: Any) -> str:
    """A row by its key: "(2013-01-01T10:15, UA)"; without one by its first columns: "(length 5.1, width 3.5)"."""
    named = [(column.name, _name(column, values[column.name][row : row + 1])) for column in naming_columns(contract)]
    return "(" + ", ".join(value if contract.key else f"{name} {value}" for name, value in named) + ")"


def _name(column: Column, one: NDArray[Any]) -> str:
    value = one[0]
    if is_missing(column, one)[0]:
        return "missing"
    if column.kind.is_numeric:
        return f"{value:.15g}"
    return cut(str(value)) if str(value).isprintable() else shown(value)


def _reasons(broken: Sequence[RowViolations]) -> pa.Array:
    """The list of all reasons for each rejected row, in ascending order of rows."""
    if not broken:
        return pa.array([], pa.list_(pa.string()))
    rows = np.concatenate([found.rows for found in broken])
    codes = np.repeat(np.arange(len(broken)), [len(found.rows) for found in broken])
    order = np.lexsort([codes, rows])
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    offsets = np.append(starts, len(rows)).astype(np.int32)
    reasons = pa.array([found.reason for found in broken]).take(pa.array(codes[order]))
    return pa.ListArray.from_arrays(pa.array(offsets), reasons)
