"""What must hold for a dataset as a whole, whose rows each keep the contract."""

from collections.abc import Iterator

import numpy as np

from athanor.contract.columns import Column
from athanor.contract.contract import Contract
from athanor.contract.messages import is_missing
from athanor.data.checks.findings import Finding
from athanor.data.checks.leakage import single_feature_aucs, standard_error
from athanor.data.checks.row_checks import SAMPLES, row_name
from athanor.data.dataset import Dataset
from athanor.data.snapshots.staging import Staged
from athanor.data.tables.tables import from_arrow


def check_dataset(dataset: Dataset, staged: Staged) -> Iterator[Finding]:
    """Everything for which the dataset is refused, beyond the rows that were set aside."""
    contract = staged.contract
    if not staged.rows:
        yield Finding("", "EMPTY", 0, float("nan"), "EMPTY: no row is left")
        return
    yield from _check_missing(contract, staged)
    yield from _check_label(contract, staged)
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
            message = f"{column.name} MISSING_BUDGET: missing in {count} rows ({share:.2%}), allowed are {allowed}"
            yield Finding(column.name, "MISSING_BUDGET", count, share, message, _name_missing(staged, column))


def _name_missing(staged: Staged, column: Column) -> tuple[str, ...]:
    """The first rows without a value, by their key."""
    rows = np.flatnonzero(is_missing(column, staged.column(column.name)))[:SAMPLES]
    keys = {key.name: staged.column(key.name)[rows] for key in staged.contract.key}
    return tuple(row_name(staged.contract, keys, position) for position in range(len(rows)))


def _check_label(contract: Contract, staged: Staged) -> Iterator[Finding]:
    if staged.trues in (0, staged.rows):
        value = "true" if staged.trues else "false"
        name = contract.label.name
        message = f"{name} CONSTANT_LABEL: the label is {value} in all {staged.rows} rows; there is nothing to learn"
        yield Finding(contract.label.name, "CONSTANT_LABEL", staged.rows, 1.0, message)


def _check_time(contract: Contract, staged: Staged) -> Iterator[Finding]:
    name, rules = contract.event_time.name, contract.rules
    gap, begin = staged.largest_gap
    gap_s = gap / np.timedelta64(1, "s")
    if rules.largest_gap_s is not None and gap_s > rules.largest_gap_s:
        allowed = f"{rules.largest_gap_s:.15g} s"
        message = f"{name} GAP: there is no row for {gap_s:.15g} s from {begin} on, allowed are {allowed}"
        yield Finding(name, "GAP", 0, float("nan"), message)
    count = staged.disordered
    share = count / max(staged.read, 1)
    if rules.disorder_budget is not None and share > rules.disorder_budget:
        allowed = f"{rules.disorder_budget:.2%}"
        message = f"{name} DISORDER: {count} rows ({share:.2%}) come after one that is later, allowed are {allowed}"
        yield Finding(name, "DISORDER", count, share, message)


def _check_leakage(contract: Contract, staged: Staged) -> Iterator[Finding]:
    """An area counts when it is above the budget by three standard errors: in a few rows any column tells the label."""
    budget = contract.rules.leakage_budget
    if budget is None:
        return
    values = from_arrow(contract.dataset_columns, staged.sample)
    trues = int((values[contract.label.name] == 1).sum())
    for name, area in single_feature_aucs(contract, values).items():
        if area - 3 * standard_error(area, trues, len(values[name]) - trues) > budget:
            message = (
                f"{name} LEAKAGE: it alone tells the label {contract.label.name} with an area under the ROC curve of "
                f"{area:.3f}, allowed are {budget:g}; most likely it knows what turned out"
            )
            yield Finding(name, "LEAKAGE", 0, float("nan"), message)
