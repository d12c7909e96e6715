"""The examples in the docstrings of recipes, candidates and splits."""

import doctest

import pytest
from support.examples import find_examples, run_example
from support.pipelines import make_recipe

from athanor.training import candidates, categories, recipe, splits


@pytest.mark.parametrize(
    "example", find_examples(candidates, categories, recipe, splits), ids=lambda example: example.name
)
def test_the_example_runs(example: doctest.DocTest) -> None:
    made = make_recipe()
    run_example(example, model=made.model, dataset=made.dataset)
