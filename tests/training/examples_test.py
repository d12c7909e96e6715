"""The examples in the docstrings of recipes."""

import doctest

import pytest
from support.examples import find_examples, run_example
from support.pipelines import make_recipe

from athanor.training import recipe


@pytest.mark.parametrize("example", find_examples(recipe), ids=lambda example: example.name)
def test_the_example_runs(example: doctest.DocTest) -> None:
    made = make_recipe()
    run_example(example, model=made.model, dataset=made.dataset)
