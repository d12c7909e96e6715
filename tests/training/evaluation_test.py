"""Metrics, against their definitions in plain Python."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY

from athanor.training.evaluation import evaluate, evaluate_slices

_ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.2, 0.5]) | st.floats(0.01, 0.99)), min_size=2, max_size=20
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def _roc_auc(rows: Sequence[tuple[int, float]]) -> float:
    """How often a positive row ranks above a negative one; ties count half."""
    pairs = [(p, n) for label, p in rows if label for other, n in rows if not other]
    return sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)


def _average_precision(rows: Sequence[tuple[int, float]]) -> float:
    """Precision at each threshold, weighed by how much recall it adds."""
    positives = sum(label for label, _ in rows)
    total, found_before = 0.0, 0
    for threshold in sorted({p for _, p in rows}, reverse=True):
        chosen = [label for label, p in rows if p >= threshold]
        total += (sum(chosen) - found_before) / positives * sum(chosen) / len(chosen)
        found_before = sum(chosen)
    return total


@PROPERTY
@given(_ROWS)
def test_metrics_are_what_their_definitions_say(rows: list[tuple[int, float]]) -> None:
    labels, probabilities = (np.array(values) for values in zip(*rows, strict=True))
    assert evaluate(labels, probabilities) == pytest.approx(
        {
            "roc_auc": _roc_auc(rows),
            "average_precision": _average_precision(rows),
            "brier_score": sum((label - p) ** 2 for label, p in rows) / len(rows),
            "log_loss": -sum(math.log(p if label else 1 - p) for label, p in rows) / len(rows),
        }
    )


def test_slices_tell_rows_rate_and_area_for_each_value() -> None:
    labels, probabilities = np.array([0, 1, 1, 0, 0]), np.array([0.1, 0.9, 0.2, 0.8, 0.5])
    values = np.array(["b", "b", "a", "a", ""], dtype=object)
    assert evaluate_slices(labels, probabilities, values) == {
        "": {"rows": 1, "label_rate": 0.0, "roc_auc": None},
        "a": {"rows": 2, "label_rate": 0.5, "roc_auc": 0.0},
        "b": {"rows": 2, "label_rate": 0.5, "roc_auc": 1.0},
    }
