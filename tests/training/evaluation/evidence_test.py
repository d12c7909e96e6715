"""Features of training rows, by the graph that a release holds: a model cannot be trained on infinite ones."""

from typing import Any, Final

import numpy as np
import pytest
from support.evidence import TASK
from support.flights import make_columns
from support.model_graphs import open_graph

from athanor.errors import ContractError
from athanor.features.features import Features, Model
from athanor.training.evaluation import evidence
from athanor.training.evaluation.evidence import Rows, compute_frame
from projects.delays.model import MODEL

_COLUMNS: Final = make_columns(5)


def _compute(columns: Any) -> Any:
    return {"x": columns["distance"], "y": -columns["wind_speed"], "text": columns["origin"]}


_MODEL: Final = Model(MODEL.contract, Features(("x", "y"), ("text",), _compute))


def test_a_frame_has_the_numeric_features_then_the_categorical_ones() -> None:
    frame = compute_frame(_MODEL, _COLUMNS)
    assert frame.columns.tolist() == ["x", "y", "text"]
    assert [dtype.kind for dtype in frame.dtypes] == ["f", "f", "O"]
    np.testing.assert_array_equal(frame["x"], _COLUMNS["distance"].astype(np.float32))
    assert frame["text"].tolist() == _COLUMNS["origin"].tolist()


@pytest.mark.parametrize("part_rows", [1, 2, 5, 7])
def test_rows_computed_in_parts_stay_in_order(monkeypatch: pytest.MonkeyPatch, part_rows: int) -> None:
    monkeypatch.setattr(evidence, "_PART_ROWS", part_rows)
    whole = open_graph(_MODEL.graph).compute_features(_COLUMNS)
    frame = compute_frame(_MODEL, _COLUMNS)
    np.testing.assert_array_equal(frame[["x", "y"]], whole.numeric)
    np.testing.assert_array_equal(frame[["text"]], whole.categorical)


def test_no_rows_make_an_empty_frame() -> None:
    assert compute_frame(_MODEL, {name: values[:0] for name, values in _COLUMNS.items()}).shape == (0, 3)


def test_the_outcome_is_not_computed_from() -> None:
    columns = {name: values for name, values in _COLUMNS.items() if name != MODEL.contract.label.name}
    assert compute_frame(_MODEL, columns).equals(compute_frame(_MODEL, _COLUMNS))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_an_infinite_feature_is_named_with_its_first_row(value: float) -> None:
    """In single precision 1e300 is infinite too."""
    distance = np.array([1.0, np.nan, value, value, 2.0])
    with pytest.raises(
        ContractError, match=r"evidence_test\._compute: x is infinite in 2 of 5 rows, first in row 2; allowed are"
    ):
        Rows.make(TASK, _MODEL, {**_COLUMNS, "distance": distance})


def test_all_infinite_features_are_listed() -> None:
    infinite = np.full(5, np.inf)
    with pytest.raises(
        ContractError,
        match=r"x is infinite in 5 .*; y is infinite in 5 of 5 rows, .*; allowed are .* or the feature by `clip`",
    ):
        Rows.make(TASK, _MODEL, {**_COLUMNS, "distance": infinite, "wind_speed": infinite})


def test_a_function_that_cannot_be_traced_is_named_with_its_line() -> None:
    def divide(columns: Any) -> Any:
        raise ZeroDivisionError("by the wind")

    with pytest.raises(ContractError, match=r"evidence_test\.py:\d+, in divide"):
        Rows.make(TASK, Model(MODEL.contract, Features(("x",), (), divide)), _COLUMNS)
