"""Drift of rows from those a release was made from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.drifts import drifted
from support.flights import make_columns
from support.releases import make_files, make_release

from athanor.contract.columns import Columns
from athanor.data.profiles.drift import measure_drift
from athanor.data.profiles.profile import profile
from athanor.errors import DataError
from athanor.monitoring.drift import measure_release_drift
from athanor.release.files import Release
from projects.delays.model import MODEL

_ROWS = 5_000


@pytest.fixture
def release(tmp_path: Path) -> Release:
    reference = profile(MODEL.contract.dataset_columns, make_columns(_ROWS, seed=1))
    return make_release(tmp_path, make_files(reference_profile=reference.to_json().encode()))


def test_rows_are_compared_with_those_of_the_release(release: Release) -> None:
    reference = profile(MODEL.contract.dataset_columns, make_columns(_ROWS, seed=1))
    values = make_columns(100, seed=2)
    expected = measure_drift(MODEL.contract, reference, profile(MODEL.contract.dataset_columns, values))
    assert measure_release_drift(MODEL.contract, release, values) == expected


def test_other_rows_of_the_same_kind_have_not_drifted(release: Release) -> None:
    report = measure_release_drift(MODEL.contract, release, make_columns(_ROWS, seed=2))
    assert drifted(report) == set()
    assert (report.rows, report.reference_rows) == (_ROWS, _ROWS)


@pytest.mark.parametrize(
    ("column", "poison"),
    [
        ("temperature", lambda values: (values["temperature"] - 32) / 1.8),
        ("carrier", lambda values: np.where(values["carrier"] == "UA", "ZZ", values["carrier"])),
        ("pressure", lambda values: np.where(np.arange(_ROWS) % 2, np.nan, values["pressure"])),
        ("arrived_late", lambda values: np.where(np.arange(_ROWS) % 5, values["arrived_late"], 1)),
    ],
)
def test_what_drifts_is_named(release: Release, column: str, poison: Callable[[Columns], object]) -> None:
    values = make_columns(_ROWS, seed=2)
    report = measure_release_drift(MODEL.contract, release, {**values, column: np.asarray(poison(values))})
    assert drifted(report) == {column}


def test_rows_just_served_need_no_label(release: Release) -> None:
    served = {name: values for name, values in make_columns(_ROWS, seed=2).items() if name != "arrived_late"}
    report = measure_release_drift(MODEL.contract, release, served)
    assert not report.has_drifted
    assert {drift.column for drift in report.columns} >= {"carrier", "distance"}


def test_rows_that_lack_a_column_are_refused(release: Release) -> None:
    values = {name: values for name, values in make_columns(10).items() if name != "carrier"}
    with pytest.raises(DataError, match="the profile of the dataset has no column carrier"):
        measure_release_drift(MODEL.contract, release, values)


def test_no_rows_say_nothing_and_count_as_drifted(release: Release) -> None:
    report = measure_release_drift(MODEL.contract, release, {n: values[:0] for n, values in make_columns(1).items()})
    assert report.has_drifted
    assert all(np.isnan(drift.value) and drift.has_drifted for drift in report.columns)


def test_a_release_whose_profile_is_none_is_refused(tmp_path: Path) -> None:
    release = make_release(tmp_path, make_files(reference_profile=b'{"rows": 5000}'))
    with pytest.raises(DataError, match="this is not a profile: columns"):
        measure_release_drift(MODEL.contract, release, make_columns(10))
