"""The examples in the docstrings of features."""

import doctest

import numpy as np
import pytest
from support.examples import find_examples, run_example
from support.protos import Toy

from athanor.features import arrays, features, numbers, texts, times
from athanor.features.arrays import xp


@pytest.mark.parametrize(
    "example", find_examples(arrays, features, numbers, texts, times), ids=lambda example: example.name
)
def test_the_example_runs(example: doctest.DocTest) -> None:
    run_example(example, contract=Toy().read(), np=np, xp=xp)
