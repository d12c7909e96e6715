"""Rules for the whole dataset, after each row has passed its own."""

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
    """All findings about the whole dataset; each of them refuses it."""
    contract = staged.contract
    if not staged.rows:
        yield Finding(
            "", "EMPTY", 0, float("nan"), "EMPTY: no row is left; see the quarantine and the reasons for rows left out"
        )
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
            message = f"{column.name} MISSING_BUDGET: missing in {count} rows ({share:.2%}), allowed: {allowed}"
            yield Finding(column.name, "MISSING_BUDGET", count, share, message, _name_missing(staged, column))


def _name_missing(staged: Staged, column: Column) -> tuple[str, ...]:
    """The keys of the first rows without a value."""
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
    values = from_arrow(contract.dataset_columns, staged.sample)
    trues = int((values[contract.label.name] == 1).sum())
    for name, area in single_feature_aucs(contract, values).items():
        if area - 3 * standard_error(area, trues, len(values[name]) - trues) > budget:
            message = (
                f"{name} LEAKAGE: it alone predicts the label {contract.label.name} with a ROC AUC of {area:.3f}, "
                f"allowed: {budget:g}; it probably contains information from after the event"
            )
            yield Finding(name, "LEAKAGE", 0, float("nan"), message)
