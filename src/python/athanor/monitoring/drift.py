"""How far rows have drifted from those a release was trained on."""

from dataclasses import dataclass

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.profile import Profile, population_stability
from athanor.release.files import REFERENCE_PROFILE, Release


@dataclass(frozen=True)
class ColumnDrift:
    """Drift of one column.

    Attributes:
        index: population stability index against the release's reference profile; NaN without rows.
        budget: the contract's.
    """

    column: str
    index: float
    budget: float

    @property
    def has_drifted(self) -> bool:
        """NaN counts as drifted: nothing was seen that could say otherwise."""
        return not self.index <= self.budget


def measure_drift(contract: Contract, release: Release, values: Columns) -> tuple[ColumnDrift, ...]:
    """Drift of every column that has a budget in the contract, most drifted first.

    Args:
        values: arrays of the contract's columns, for the rows to compare.
    """
    reference = Profile.model_validate_json(release.files[REFERENCE_PROFILE])
    found = [
        ColumnDrift(
            column=column.name,
            index=population_stability(reference.columns[column.name], column, values[column.name]),
            budget=column.drift_budget,
        )
        for column in contract.columns
        if column.drift_budget is not None
    ]
    return tuple(sorted(found, key=lambda drift: -drift.index))
