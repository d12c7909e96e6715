"""How far rows have drifted from those a release was trained on."""

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.profiles.drift import DriftReport, measure_drift
from athanor.data.profiles.profile import Profile, profile
from athanor.release.files import REFERENCE_PROFILE, Release


def measure_release_drift(contract: Contract, release: Release, values: Columns) -> DriftReport:
    """Compares rows with the release's reference profile, as `athanor.data.profiles.drift` does.

    Args:
        values: arrays of the contract's columns, for the rows to compare; those of the outcome may be absent.

    Raises:
        DataError: the release's profile cannot be read, or is one of other columns.
    """
    reference = Profile.from_json(release.files[REFERENCE_PROFILE])
    known = [column for column in contract.dataset_columns if column.name in values]
    return measure_drift(contract, reference, profile(known, values, most_knots=None))
