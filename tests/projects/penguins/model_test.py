"""What must be true of the release, on penguins that it was not trained on."""

import numpy as np
import pytest
from support.real_projects import RealProject, train_project

from athanor.home import Home
from projects.penguins.recipe import RECIPE

_SPECIES = ("Adelie", "Chinstrap", "Gentoo")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> RealProject:
    return train_project(RECIPE, Home(tmp_path_factory.mktemp("penguins")))


def test_it_tells_the_species_apart(project: RealProject) -> None:
    right = project.answers["species"] == project.held_out["observed_species"]
    assert len(right) == 69
    assert right.mean() >= 0.97
    assert project.metrics["accuracy"] == pytest.approx(right.mean())


def test_its_probabilities_are_those_of_the_three_species(project: RealProject) -> None:
    probabilities = np.column_stack([project.answers[f"{name.lower()}_probability"] for name in _SPECIES])
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert [_SPECIES[position] for position in probabilities.argmax(axis=1)] == project.answers["species"].tolist()
    observed = [_SPECIES.index(name) for name in project.held_out["observed_species"]]
    log_loss = -np.log(probabilities[np.arange(len(observed)), observed]).mean()
    assert project.metrics["log_loss"] == pytest.approx(log_loss, rel=1e-6)


def test_its_sets_hold_the_right_species_and_few_others(project: RealProject) -> None:
    observed = project.held_out["observed_species"]
    sets = {name: project.answers[f"may_be_{name.lower()}"] == 1 for name in _SPECIES}
    held = np.select([observed == name for name in _SPECIES], [sets[name] for name in _SPECIES])
    assert project.metrics["coverage"] == pytest.approx(held.mean())
    assert held.mean() >= 0.94
    assert 0.94 <= sum(sets.values()).mean() <= 1.1


def test_a_penguin_without_a_sex_is_answered_too(project: RealProject) -> None:
    same = project.predict(sex="") == project.answers["species"]
    assert same.mean() >= 0.9


def test_verification_finds_the_same_release(project: RealProject) -> None:
    _, verification = project.train_and_verify()
    assert verification.is_same
    assert verification.largest_difference == 0
