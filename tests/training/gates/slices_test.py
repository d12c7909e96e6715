"""A model that is bad for a group of rows is stopped, however good it is on average."""

from collections.abc import Callable

import numpy as np
import pytest
from support.pipelines import make_pipeline_over

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.training.evaluation.evidence import Evidence
from athanor.training.evaluation.slices import Slice, by_column, by_month
from athanor.training.gates.gate import Gate
from athanor.training.gates.metrics import Floor
from athanor.training.gates.slices import NoSliceWorse

Gather = Callable[..., Evidence]

_SLICES = (by_column("carrier"), by_column("origin"), by_month("scheduled_departure"))


def _shuffle_labels(columns: Columns, name: str, value: str) -> Columns:
    """As if the clock at one airport were wrong."""
    labels = columns["arrived_late"].copy()
    rows = np.flatnonzero(columns[name] == value)
    labels[rows] = labels[np.random.default_rng(0).permutation(rows)]
    return {**columns, "arrived_late": labels}


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_score", "log_loss"])
def test_a_slice_whose_labels_are_shuffled_is_named(
    metric: str, gather: Gather, columns: Columns, good: Evidence
) -> None:
    gate = NoSliceWorse(_SLICES, metric, largest_drop=0.09, smallest_rows=500)
    shuffled = _shuffle_labels(columns, "carrier", "DL")
    result = gate.run(gather(fitted_on=shuffled, evaluated_on=shuffled))
    assert not result.passed
    assert result.value is not None
    assert result.value > 0.09
    assert "the worst is carrier DL (" in result.explanation
    assert gate.run(good).passed


def test_on_average_such_a_model_would_have_passed(gather: Gather, columns: Columns) -> None:
    shuffled = _shuffle_labels(columns, "carrier", "DL")
    assert Floor("roc_auc", at_least=0.75).run(gather(fitted_on=shuffled, evaluated_on=shuffled)).passed


def test_small_slices_are_skipped(gather: Gather, columns: Columns) -> None:
    shuffled = _shuffle_labels(columns, "carrier", "DL")
    evidence = gather(fitted_on=shuffled, evaluated_on=shuffled)
    by_carrier = (by_column("carrier"),)
    rows = int((evidence.rows.columns["carrier"] == "DL").sum())
    assert not NoSliceWorse(by_carrier, "roc_auc", largest_drop=0.1, smallest_rows=rows).run(evidence).passed
    assert NoSliceWorse(by_carrier, "roc_auc", largest_drop=0.1, smallest_rows=rows + 1).run(evidence).passed


def test_slices_with_one_label_are_skipped(good: Evidence) -> None:
    by_label = Slice("label", lambda columns: columns["arrived_late"].astype(str).astype(object))
    both = NoSliceWorse((by_label, by_column("origin")), "roc_auc", largest_drop=0.1, smallest_rows=1).run(good)
    assert both.passed
    assert both.explanation.startswith("of 3 slices")


def test_if_every_slice_is_skipped_the_gate_fails(good: Evidence) -> None:
    result = NoSliceWorse(_SLICES, "roc_auc", largest_drop=0.5, smallest_rows=1_000_000).run(good)
    assert not result.passed
    assert result.value is None
    assert "lower smallest_rows" in result.explanation


def test_rows_that_lack_the_value_are_a_slice_of_their_own(gather: Gather, columns: Columns) -> None:
    origin = np.where(np.arange(len(columns["origin"])) % 2, columns["origin"], "")
    half = _shuffle_labels({**columns, "origin": origin}, "origin", "")
    evidence = gather(make_pipeline_over("distance", "wind_speed"), fitted_on=columns, evaluated_on=half)
    result = NoSliceWorse((by_column("origin"),), "roc_auc", largest_drop=0.1, smallest_rows=100).run(evidence)
    assert not result.passed
    assert "origin (missing) (1,500 rows)" in result.explanation


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: NoSliceWorse((), "roc_auc", 0.1, 100), "there are no slices"),
        (lambda: NoSliceWorse(_SLICES, "roc_auc", -0.1, 100), "largest_drop is -0.1"),
        (lambda: NoSliceWorse(_SLICES, "log_loss", np.nan, 100), "largest_drop is nan"),
        (lambda: NoSliceWorse(_SLICES, "roc_auc", 0.1, 0), "smallest_rows is 0"),
    ],
)
def test_a_gate_that_cannot_fail_or_be_understood_is_refused(make: Callable[[], Gate], problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        make()
