"""A contract with every drift budget, rows for it, and comparisons of them."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from support.protos import TIMESTAMP, Toy, make_field

from athanor.contract.columns import Columns, Kind
from athanor.contract.contract import Contract
from athanor.data.profiles.drift import ColumnDrift, DriftReport, Statistic, measure_drift
from athanor.data.profiles.profile import profile


def _read_toy() -> Contract:
    toy = Toy()
    toy.column("amount").may_be_missing = True
    for name in ("amount", "color", "is_new", "won"):
        toy.column(name).drift_budget = 0.1
    for name in ("amount", "color"):
        toy.column(name).distance_budget = 0.2
    for name in ("amount", "is_new"):
        toy.column(name).missing_drift_budget = 0.1
    toy.column("is_new").rate_drift_budget = 0.05
    seen = make_field("seen", 8, TIMESTAMP, description="Seen", may_be_missing=True, missing_drift_budget=0.1)
    toy.row.field.append(seen)
    return toy.read()


TOY: Final = _read_toy()
_NOTHING: Final = {Kind.TEXT: "", Kind.TIMESTAMP: np.datetime64("NaT")}


def make_toy(**given: Sequence[Any] | NDArray[Any]) -> Columns:
    """Rows with the given columns; all other columns are missing."""
    length = len(next(iter(given.values())))
    return {
        column.name: np.array(given.get(column.name, [_NOTHING.get(column.kind, math.nan)] * length), column.kind.dtype)
        for column in TOY.dataset_columns
    }


def compare(before: Columns, after: Columns, contract: Contract = TOY) -> DriftReport:
    """Compares exact profiles."""
    columns = contract.dataset_columns
    return measure_drift(contract, profile(columns, before, None), profile(columns, after, None))


def find(report: DriftReport, column: str, statistic: Statistic) -> ColumnDrift:
    (found,) = (drift for drift in report.columns if (drift.column, drift.statistic) == (column, statistic))
    return found


def drifted(report: DriftReport) -> set[str]:
    return {drift.column for drift in report.columns if drift.has_drifted}
