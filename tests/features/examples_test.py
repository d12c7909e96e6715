"""The examples in the docstrings of features."""

import doctest

import pytest
from support.examples import find_examples, run_example
from support.protos import Toy

from athanor.features import features


@pytest.mark.parametrize("example", find_examples(features), ids=lambda example: example.name)
def test_the_example_runs(example: doctest.DocTest) -> None:
    run_example(example, contract=Toy().read())


@pytest.mark.parametrize("helper", ["to_local_time", "cyclic"])
def test_helpers_have_their_examples_beside_features(helper: str) -> None:
    """In their own docstrings they would change the digest of all features there are."""
    assert f">>> transforms.{helper}(" in features.__doc__ or f"= transforms.{helper}(" in features.__doc__
