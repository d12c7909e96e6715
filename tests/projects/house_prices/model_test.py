"""What must be true of the release, on sales that it was not trained on."""

import numpy as np
import pytest
from support.real_projects import RealProject, train_project

from athanor.home import Home
from projects.house_prices.recipe import RECIPE


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> RealProject:
    return train_project(RECIPE, Home(tmp_path_factory.mktemp("house_prices")))


def test_it_is_evaluated_on_the_sales_of_the_last_60_days(project: RealProject) -> None:
    sold_on = project.held_out["sold_on"]
    assert sold_on.max() - sold_on.min() <= np.timedelta64(60, "D")
    assert sold_on.max() == np.datetime64("2015-05-27")
    assert len(sold_on) == 1_019


def test_it_explains_most_of_a_price(project: RealProject) -> None:
    prices, found = project.held_out["sold_for"], project.answers["price"]
    squared = np.mean((prices - found) ** 2) / np.var(prices)
    assert project.metrics["r2"] == pytest.approx(1 - squared)
    assert project.metrics["mae"] == pytest.approx(np.abs(prices - found).mean())
    assert squared < 0.25
    # Of half of all houses the price is told to 13 %.
    assert np.median(np.abs(found / prices - 1)) < 0.13


def test_its_intervals_hold_nine_prices_in_ten(project: RealProject) -> None:
    prices, answers = project.held_out["sold_for"], project.answers
    held = (answers["lowest_price"] <= prices) & (prices <= answers["highest_price"])
    assert project.metrics["coverage"] == pytest.approx(held.mean())
    assert 0.88 <= held.mean() <= 0.92


def test_its_intervals_are_wider_where_houses_are_dearer(project: RealProject) -> None:
    answers = project.answers
    assert np.all(answers["lowest_price"] <= answers["price"])
    assert np.all(answers["price"] <= answers["highest_price"])
    width = answers["highest_price"] - answers["lowest_price"]
    fifths = np.array_split(width[np.argsort(answers["price"], kind="stable")], 5)
    means = [fifth.mean() for fifth in fifths]
    assert means == sorted(means)
    assert means[-1] > 3 * means[0]


def test_the_water_a_better_grade_and_another_place_change_the_price(project: RealProject) -> None:
    assert project.predict(waterfront=1).mean() > 1.1 * project.predict(waterfront=0).mean()
    assert project.predict(grade=10).mean() > 1.2 * project.predict(grade=7).mean()
    # Medina is the dearest of them, Auburn among the cheapest.
    assert project.predict(zip_code="98039").mean() > 2 * project.predict(zip_code="98002").mean()


def test_an_unknown_zip_code_costs_what_the_average_does(project: RealProject) -> None:
    assert project.predict(zip_code="98999").mean() == pytest.approx(project.answers["price"].mean(), rel=0.25)


def test_verification_finds_the_same_release_fitted_on_all_sales(project: RealProject) -> None:
    training, verification = project.train_and_verify()
    assert training.release.identity.refit is not None
    assert training.release.identity.refit.rows == 7_204
    assert verification.is_same
    assert verification.largest_difference == 0
