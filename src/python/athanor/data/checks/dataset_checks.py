"""Rules for the whole dataset, after each row has passed its own."""

from collections.abc import Iterator

import numpy as np

from athanor.contract.columns import Column
from athanor.contract.contract import Contract
from athanor.contract.messages import is_missing
from athanor.contract.shown import shown
from athanor.data.checks.findings import Finding, Note
from athanor.data.checks.leakage import Separation, has_enough_rows, measure_separations
from athanor.data.checks.row_checks import SAMPLES, naming_columns, row_name
from athanor.data.dataset import Dataset
from athanor.data.snapshots.staging import Staged
from athanor.data.tables.tables import from_arrow


def check_dataset(dataset: Dataset, staged: Staged) -> Iterator[Finding]:
    """All findings about the whole dataset; each of them refuses it."""
    contract = staged.contract
    if not staged.rows:
        yield Finding(
            "", "EMPTY", 0, float("nan"), "EMPTY: no row is left; see the quarantine and the reasons for rows left out"
        )
        return
    yield from _check_missing(contract, staged)
    yield from _check_label(contract, staged)
    yield from _check_weight(contract, staged)
    yield from _check_time(contract, staged)
    yield from _check_leakage(contract, staged)
    for check in dataset.checks:
        if problem := check(staged):
            yield Finding("", check.__name__, 0, float("nan"), f"{check.__name__}: {problem}")


def _check_missing(contract: Contract, staged: Staged) -> Iterator[Finding]:
    for column in contract.dataset_columns:
        count = staged.missing[column.name]
        share = count / staged.rows
        if share > column.missing_budget:
            allowed = f"{column.missing_budget:.2%}"
            message = f"{column.name} MISSING_BUDGET: missing in {count} rows ({share:.2%}), allowed: {allowed}"
            yield Finding(column.name, "MISSING_BUDGET", count, share, message, _name_missing(staged, column))


def _name_missing(staged: Staged, column: Column) -> tuple[str, ...]:
    """The first rows without a value."""
    rows = np.flatnonzero(is_missing(column, staged.column(column.name)))[:SAMPLES]
    named = {naming.name: staged.column(naming.name)[rows] for naming in naming_columns(staged.contract)}
    return tuple(row_name(staged.contract, named, position) for position in range(len(rows)))


def _check_label(contract: Contract, staged: Staged) -> Iterator[Finding]:
    smallest, largest = staged.labels
    if smallest == largest:
        name, value = contract.label.name, str(smallest).lower() if isinstance(smallest, bool) else shown(smallest)
        message = f"{name} CONSTANT_LABEL: the label is {value} in all {staged.rows} rows; there is nothing to learn"
        yield Finding(contract.label.name, "CONSTANT_LABEL", staged.rows, 1.0, message)


def _check_weight(contract: Contract, staged: Staged) -> Iterator[Finding]:
    if contract.weight is not None and not staged.column(contract.weight.name).any():
        name = contract.weight.name
        message = f"{name} NO_WEIGHT: the weight is 0 in all {staged.rows} rows; no row would count"
        yield Finding(name, "NO_WEIGHT", staged.rows, 1.0, message)


def _check_time(contract: Contract, staged: Staged) -> Iterator[Finding]:
    if contract.event_time is None:
        return
    name, rules = contract.event_time.name, contract.rules
    gap, begin = staged.largest_gap
    gap_s = gap / np.timedelta64(1, "s")
    if rules.largest_gap_s is not None and gap_s > rules.largest_gap_s:
        allowed = f"{rules.largest_gap_s:.15g} s"
        message = f"{name} GAP: no row for {gap_s:.15g} s from {begin}, allowed: {allowed}"
        yield Finding(name, "GAP", 0, float("nan"), message)
    count = staged.disordered
    share = count / max(staged.read, 1)
    if rules.disorder_budget is not None and share > rules.disorder_budget:
        allowed = f"{rules.disorder_budget:.2%}"
        message = f"{name} DISORDER: {count} rows ({share:.2%}) come after a later one, allowed: {allowed}"
        yield Finding(name, "DISORDER", count, share, message)


def _check_leakage(contract: Contract, staged: Staged) -> Iterator[Finding]:
    """Requires three standard errors above the budget: with few rows any column separates the labels by chance."""
    budget = contract.rules.leakage_budget
    if budget is None:
        return
    for name, found in measure_separations(contract, from_arrow(contract.dataset_columns, staged.sample)).items():
        if found.area - 3 * found.error > budget:
            message = (
                f"{name} LEAKAGE: it alone predicts the label {contract.label.name} with {_describe(found)}, allowed: "
                f"{budget:g}; it probably contains information from after the event"
            )
            yield Finding(name, "LEAKAGE", 0, float("nan"), message)


def _describe(found: Separation) -> str:
    if found.is_of_numbers:
        return f"a concordance of {found.area:.3f}"
    return f"a ROC AUC of {found.area:.3f}" + (f" ({shown(found.category)} against the rest)" if found.category else "")


def list_notes(staged: Staged) -> Iterator[Note]:
    """Checks that are left out for want of an event time, a key or rows; equal rows; and what no row has."""
    contract = staged.contract
    if contract.event_time is None:
        yield Note(
            "NO_EVENT_TIME",
            "the contract has no column with ROLE_EVENT_TIME: FUTURE, GAP and DISORDER are not checked, and there are "
            "no slices of time",
        )
    if not contract.key:
        share = f" ({staged.equal_rows / staged.rows:.2%})" if staged.equal_rows else ""
        yield Note(
            "NO_KEY",
            "the contract has no column with ROLE_KEY: UNIQUE is not checked. Rows that repeat another in all columns "
            f"are kept: {staged.equal_rows} of {staged.rows}{share}",
        )
    if staged.rows:
        yield from _list_lacking(contract, staged)


def _list_lacking(contract: Contract, staged: Staged) -> Iterator[Note]:
    labels = from_arrow([contract.label], staged.sample)[contract.label.name]
    if contract.rules.leakage_budget is not None and not has_enough_rows(contract.label, labels):
        yield Note("FEW_ROWS", "LEAKAGE is not checked: there are too few rows of each label to tell it from chance")
    if empty := [name for name, count in staged.missing.items() if count == staged.rows]:
        yield Note("NO_VALUE", f"no row has a value of {', '.join(empty)}")
    if contract.label.categories:
        found = set(staged.column(contract.label.name))
        if absent := [shown(category) for category in contract.label.categories if category not in found]:
            yield Note("NO_ROW_OF_CATEGORY", f"{contract.label.name} is {', '.join(absent)} in no row")
