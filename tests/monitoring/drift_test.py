"""Drift of rows from those a release was made from."""

from pathlib import Path

import numpy as np
import pytest
from support.flights import make_columns
from support.releases import make_files, make_release

from athanor.data.profile import profile
from athanor.monitoring.drift import ColumnDrift, measure_drift
from athanor.release.files import Release
from projects.flight_delay.model import MODEL

ROWS = 5_000


@pytest.fixture
def release(tmp_path: Path) -> Release:
    reference = profile(MODEL.contract.dataset_columns, make_columns(ROWS, seed=1))
    return make_release(tmp_path, make_files(reference_profile=reference.model_dump_json().encode()))


def drift_of(release: Release, column: str, **changed: np.ndarray) -> ColumnDrift:
    found = measure_drift(MODEL.contract, release, {**make_columns(ROWS, seed=2), **changed})
    return next(drift for drift in found if drift.column == column)


def test_other_rows_of_the_same_kind_have_not_drifted(release: Release) -> None:
    found = measure_drift(MODEL.contract, release, make_columns(ROWS, seed=2))
    assert not [drift.column for drift in found if drift.has_drifted]


def test_every_column_with_a_budget_is_measured_and_no_other(release: Release) -> None:
    found = measure_drift(MODEL.contract, release, make_columns(ROWS, seed=2))
    budgets = {column.name: column.drift_budget for column in MODEL.contract.columns if column.drift_budget is not None}
    assert {drift.column: drift.budget for drift in found} == budgets
    assert [drift.index for drift in found] == sorted((drift.index for drift in found), reverse=True)


def test_another_unit_drifts(release: Release) -> None:
    celsius = (make_columns(ROWS, seed=2)["temperature"] - 32) / 1.8
    assert drift_of(release, "temperature", temperature=celsius).has_drifted


def test_a_renamed_category_drifts(release: Release) -> None:
    carrier = make_columns(ROWS, seed=2)["carrier"]
    assert drift_of(release, "carrier", carrier=np.where(carrier == "UA", "ZZ", carrier)).has_drifted


def test_a_column_half_missing_drifts(release: Release) -> None:
    pressure = make_columns(ROWS, seed=2)["pressure"]
    pressure[::2] = np.nan
    assert drift_of(release, "pressure", pressure=pressure).has_drifted


def test_no_rows_say_nothing_and_count_as_drifted(release: Release) -> None:
    found = measure_drift(MODEL.contract, release, {n: values[:0] for n, values in make_columns(1).items()})
    assert all(np.isnan(drift.index) and drift.has_drifted for drift in found)
