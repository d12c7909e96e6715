"""The examples in the docstrings of datasets."""

import doctest

import pytest
from support.examples import find_examples, run_example

from athanor.data import dataset


@pytest.mark.parametrize("example", find_examples(dataset), ids=lambda example: example.name)
def test_the_example_runs(example: doctest.DocTest) -> None:
    run_example(example)
