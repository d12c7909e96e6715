"""Features of training rows: what a project's function must not return is refused with its name, in words."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from support.flights import make_columns

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.features.features import Features, Model
from athanor.training.evaluation.evidence import Rows
from projects.delays.model import MODEL

_COLUMNS = make_columns(5)


def _make(compute: Callable[[Columns], Mapping[str, Any]]) -> Rows:
    return Rows.make(Model(MODEL.contract, Features(("x",), ("text",), compute)), _COLUMNS)


def test_a_function_that_raises_is_named_with_the_line() -> None:
    def divide(columns: Columns) -> Mapping[str, Any]:
        raise ZeroDivisionError("by the wind")

    with pytest.raises(
        ContractError, match=r"function .*divide raised ZeroDivisionError: by the wind \(line \d+ of evidence_test.py\)"
    ):
        _make(divide)


def test_a_failing_look_up_is_not_taken_for_a_column() -> None:
    def look_up(columns: Columns) -> Mapping[str, Any]:
        return {"x": np.array([{"EWR": 1}[name] for name in ["EWR", "XYZ"]])}

    with pytest.raises(ContractError, match=r"look_up raised KeyError: 'XYZ' \(line"):
        _make(look_up)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_an_infinite_feature_is_named_with_its_first_row(value: float) -> None:
    """In single precision 1e300 is infinite too."""

    def compute(columns: Columns) -> Mapping[str, Any]:
        return {"x": np.array([1.0, np.nan, value, value, 2.0]), "text": columns["origin"]}

    with pytest.raises(ContractError, match="compute: x is infinite in 2 of 5 rows, first in row 2; allowed are"):
        _make(compute)


@pytest.mark.parametrize("other", [None, np.nan, 7, b"EWR"])
def test_a_text_that_is_none_is_refused(other: Any) -> None:
    def compute(columns: Columns) -> Mapping[str, Any]:
        return {"x": columns["distance"], "text": np.array(["a", other, "", other, "b"], dtype=object)}

    with pytest.raises(ContractError, match=r'text is .* in 2 rows; allowed are texts, and "" for a missing one'):
        _make(compute)


def test_all_such_features_are_listed() -> None:
    def compute(columns: Columns) -> Mapping[str, Any]:
        return {"x": np.full(5, np.inf), "text": np.full(5, None)}

    with pytest.raises(ContractError, match=r"x is infinite in 5 .*; text is None in 5 rows"):
        _make(compute)
