"""What must be true of the release, on hours that it was not trained on."""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from support.real_projects import RealProject, train_project

from athanor.home import Home
from projects.bike_hires.recipe import RECIPE


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> RealProject:
    return train_project(RECIPE, Home(tmp_path_factory.mktemp("bike_hires")))


def test_its_deviance_is_that_of_a_poisson_distribution(project: RealProject) -> None:
    hired, expected = project.held_out["bikes_hired"], project.answers["hires"]
    assert hired.min() >= 1
    deviance = np.mean(2 * (hired * np.log(hired / expected) - hired + expected))
    assert project.metrics["mean_poisson_deviance"] == pytest.approx(deviance, rel=1e-6)
    assert deviance < 25


def test_it_expects_a_number_above_zero(project: RealProject) -> None:
    assert project.answers["hires"].min() > 0
    assert project.answers["hires"].mean() == pytest.approx(project.held_out["bikes_hired"].mean(), rel=0.15)


def test_it_knows_when_people_ride(project: RealProject) -> None:
    began_at = pd.DatetimeIndex(project.held_out["began_at"], tz="UTC").tz_convert(ZoneInfo("America/New_York"))
    is_working = (began_at.day_of_week < 5) & (project.held_out["holiday"] == 0)
    hires = project.answers["hires"]
    means = {hour: hires[is_working & (began_at.hour == hour)].mean() for hour in (4, 8, 12, 17)}
    assert means[4] < 10
    assert means[8] > 2 * means[12]
    assert means[17] > 2 * means[12]


def test_cold_and_rain_keep_people_at_home(project: RealProject) -> None:
    assert project.predict(weather="light rain or snow").mean() < 0.9 * project.predict(weather="clear").mean()
    assert project.predict(temperature=0.0).mean() < 0.8 * project.predict(temperature=20.0).mean()


def test_verification_finds_the_same_release_fitted_on_all_hours(project: RealProject) -> None:
    training, verification = project.train_and_verify()
    assert training.release.identity.refit is not None
    assert training.release.identity.refit.rows == 8_645
    assert verification.is_same
    assert verification.largest_difference == 0
