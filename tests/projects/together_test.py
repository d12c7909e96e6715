"""All projects of the repository fit into one binary. Each has tests of its own; here they meet."""

from typing import Final

import pytest

from athanor.data.dataset import Dataset
from athanor.features.features import Model
from athanor.projects import find_projects, load
from athanor.training.recipe import Recipe

_PROJECTS: Final = find_projects("model")


def test_each_project_has_all_that_it_must_declare() -> None:
    assert _PROJECTS
    assert find_projects("dataset") == find_projects("recipe") == _PROJECTS


@pytest.mark.parametrize("project", _PROJECTS)
def test_what_a_project_declares_belongs_together(project: str) -> None:
    recipe = load(project, "recipe", Recipe)
    assert recipe.model is load(project, "model", Model)
    assert recipe.dataset is load(project, "dataset", Dataset)
    assert recipe.model.name == project


def test_no_two_projects_claim_one_grpc_service() -> None:
    services = [load(project, "model", Model).contract.predict.containing_service.full_name for project in _PROJECTS]
    assert len(set(services)) == len(services)
