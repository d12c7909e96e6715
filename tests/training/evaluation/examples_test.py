"""The examples in the docstrings of slices."""

import doctest

import pytest
from support.examples import find_examples, run_example

from athanor.training.evaluation import slices


@pytest.mark.parametrize("example", find_examples(slices), ids=lambda example: example.name)
def test_the_example_runs(example: doctest.DocTest) -> None:
    run_example(example)
