"""Drift of rows from a release's training data."""

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.profiles.drift import DriftReport, measure_drift
from athanor.data.profiles.profile import Profile, profile
from athanor.release.files import REFERENCE_PROFILE, Release


def measure_release_drift(contract: Contract, release: Release, values: Columns) -> DriftReport:
    """Compares rows with the release's reference profile, as `athanor.data.profiles.drift` does.

    Args:
        values: arrays of the contract's columns; outcome columns may be absent.

    Raises:
        DataError: the release's profile cannot be read, or has different columns.
    """
    reference = Profile.from_json(release.files[REFERENCE_PROFILE])
    known = [column for column in contract.dataset_columns if column.name in values]
    return measure_drift(contract, reference, profile(known, values, most_knots=None))
