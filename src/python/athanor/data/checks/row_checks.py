"""Which rows keep the contract: the rules for each value and each row, on one batch after the other."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from athanor.contract.columns import Column, Columns
from athanor.contract.contract import Contract
from athanor.contract.messages import OUT_OF_RANGE_US
from athanor.contract.validation import Breach, Rule, shown, validate
from athanor.data.checks.findings import Finding
from athanor.data.dataset import RowCheck
from athanor.data.tables.tables import Mistyped, from_arrow, to_arrow, to_lenient_arrow
from athanor.errors import ContractError

TYPE: Final = "TYPE"
FUTURE: Final = "FUTURE"
UNIQUE: Final = "UNIQUE"
REASONS: Final = "_reasons"
SAMPLES: Final = 3


@dataclass(frozen=True)
class RowViolations:
    """The rows of a batch that break one rule.

    Attributes:
        column: its name, "" for a rule about whole rows.
        rule: stable code: that of the contract's rule, TYPE, FUTURE, or the name of a row check.
        rows: positions in ascending order, at least one.
        describe: tells what is wrong with the i-th of them.
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
    """How many rows broke what, over all batches so far.

    Attributes:
        rows: that were validated.
        rejected: of them, by reason; a row that breaks several rules counts under the first.
        broken: all rows that break a rule, by column and rule, whatever else they break.
        samples: up to three of them, in words.
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
        """Counts rows that keep the contract and share their key with another; gives them their reason."""
        if rows.num_rows:
            samples = rows.slice(0, SAMPLES)
            values = from_arrow(contract.key, samples)
            named = [f"{row_name(contract, values, row)} is the key of another row" for row in range(samples.num_rows)]
            self.count("", UNIQUE, rows.num_rows, named)
            self.rejected[UNIQUE] += rows.num_rows
        lenient = to_lenient_arrow(contract.dataset_columns, from_arrow(contract.dataset_columns, rows))
        return lenient.append_column(REASONS, pa.array([[UNIQUE]] * rows.num_rows, pa.list_(pa.string())))

    def findings(self, contract: Contract) -> Iterator[Finding]:
        """What was broken. Beyond the rejected budget the dataset is refused for each of them."""
        rejected = self.rejected.total()
        share = rejected / self.rows if self.rows else 0.0
        refuses = share > contract.rules.rejected_budget
        if refuses:
            allowed = f"{contract.rules.rejected_budget:.2%}"
            message = (
                f"REJECTED_BUDGET: {rejected} of {self.rows} rows ({share:.2%}) break a rule, allowed are {allowed}"
            )
            yield Finding("", "REJECTED_BUDGET", rejected, share, message)
        for (column, rule), count in self.broken.items():
            of_all = count / self.rows
            message = f"{column} {rule}: {count} rows ({of_all:.2%})".strip()
            yield Finding(column, rule, count, of_all, message, tuple(self.samples[column, rule]), refuses)


@dataclass(frozen=True)
class ValidatedBatch:
    """A batch, divided.

    Attributes:
        kept: the rows that keep every rule, as `to_arrow` writes them, in the order in which they came.
        rejected: the others with their `_reasons`, as `to_lenient_arrow` writes them.
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
    """Divides a batch into the rows that keep every rule and those that do not.

    Args:
        values: arrays for all of `contract.dataset_columns`.
        mistyped: what is not of its column's kind and is missing in `values` for that.
        as_of: an event after it has not happened: its row is rejected.

    Raises:
        ContractError: a row check does not answer with one truth value for each row.
    """
    rows = len(values[contract.event_time.name])
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
    tally = _count(contract, values, broken, rows)
    kept = to_arrow(contract.dataset_columns, _take(values, ~is_broken) if broken else values)
    rejected = to_lenient_arrow(contract.dataset_columns, _take(values, is_broken))
    return ValidatedBatch(kept, rejected.append_column(REASONS, _reasons(broken)), tally)


def _take(values: Columns, chosen: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: array[chosen] for name, array in values.items()}


def _find_mistyped(mistyped: Sequence[Mistyped]) -> Iterator[RowViolations]:
    for found in mistyped:
        yield RowViolations(found.column.name, TYPE, found.rows, _describe_mistyped(found))


def _describe_mistyped(found: Mistyped) -> Callable[[int], str]:
    allowed = found.column.allowed
    return lambda i: f"{shown(found.values[i])} is {type(found.values[i]).__name__} ({TYPE}); give {allowed}"


def _find_breaches(contract: Contract, values: Columns, mistyped: Sequence[Mistyped]) -> Iterator[RowViolations]:
    """What breaks the contract's rules for values. What has the wrong type is not missing as well."""
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
    """Events that cannot have happened yet. Comparisons with NaT are false."""
    name = contract.event_time.name
    # An instant beyond the calendar breaks TIMESTAMP and is not told twice.
    latest = np.datetime64(int(as_of.timestamp() * 1_000_000), "us")
    beyond = np.datetime64(OUT_OF_RANGE_US, "us")
    rows = np.flatnonzero((values[name] > latest) & (values[name] < beyond))
    if len(rows):
        yield RowViolations(
            name,
            FUTURE,
            rows,
            lambda i: f"{values[name][rows[i]]} is after {latest} ({FUTURE}); it has not happened yet",
        )


def _run_checks(checks: Sequence[RowCheck], values: Columns, rows: NDArray[np.int64]) -> Iterator[RowViolations]:
    """The project's own rules, on the rows that keep all others."""
    if not checks or not len(rows):
        return
    validated = _take(values, rows)
    for check in checks:
        wrong = np.asarray(check(validated))
        if wrong.dtype != np.bool_ or wrong.shape != rows.shape:
            raise ContractError(
                f"row check {check.__name__} answered {wrong.dtype} of shape {wrong.shape}; it must answer bool of "
                f"shape {rows.shape}, one for each row: whether it is wrong"
            )
        if wrong.any():
            yield RowViolations("", check.__name__, rows[wrong], _describe_check(check))


def _describe_check(check: RowCheck) -> Callable[[int], str]:
    about = (check.__doc__ or check.__name__).strip().splitlines()[0]
    return lambda i: about


def _count(contract: Contract, values: Columns, broken: Sequence[RowViolations], rows: int) -> Tally:
    tally = Tally(rows)
    counted = np.zeros(rows, dtype=np.bool_)
    for found in broken:
        samples = [
            f"{row_name(contract, values, row)}: {found.describe(i)}" for i, row in enumerate(found.rows[:SAMPLES])
        ]
        tally.count(found.column, found.rule, len(found.rows), samples)
        if new := int((~counted[found.rows]).sum()):
            tally.rejected[found.reason] += new
        counted[found.rows] = True
    return tally


def row_name(contract: Contract, values: Columns, row: Any) -> str:
    """What people find a row by: its key."""
    return "(" + ", ".join(_name(column, values[column.name][row]) for column in contract.key) + ")"


def _name(column: Column, value: Any) -> str:
    return f"{value:.15g}" if column.kind.is_numeric else str(value)


def _reasons(broken: Sequence[RowViolations]) -> pa.Array:
    """For each broken row, in ascending order, the list of all reasons."""
    if not broken:
        return pa.array([], pa.list_(pa.string()))
    rows = np.concatenate([found.rows for found in broken])
    codes = np.repeat(np.arange(len(broken)), [len(found.rows) for found in broken])
    order = np.lexsort([codes, rows])
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    offsets = np.append(starts, len(rows)).astype(np.int32)
    reasons = pa.array([found.reason for found in broken]).take(pa.array(codes[order]))
    return pa.ListArray.from_arrays(pa.array(offsets), reasons)
