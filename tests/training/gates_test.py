"""Every gate can fail, and says so."""

import math

import pytest

from athanor.errors import ContractError, GateError
from athanor.training.gates import demand, run_gates
from athanor.training.recipe import Gate

_METRICS = {"roc_auc": 0.7, "average_precision": 0.4, "brier_score": 0.15, "log_loss": 0.5, "extra": 1.0}
_BASELINE = {"roc_auc": 0.6, "average_precision": 0.3, "brier_score": 0.2, "log_loss": 0.6}


@pytest.mark.parametrize(
    ("gate", "passes"),
    [
        (Gate("roc_auc", at_least=0.7), True),
        (Gate("roc_auc", at_least=0.7001), False),
        (Gate("log_loss", at_most=0.5), True),
        (Gate("log_loss", at_most=0.4999), False),
        (Gate("roc_auc", at_least=0.6, at_most=0.8), True),
        (Gate("roc_auc", at_least=0.71, at_most=0.8), False),
        (Gate("roc_auc", at_least=0.6, at_most=0.69), False),
        (Gate("roc_auc gain", at_least=0.09), True),
        (Gate("roc_auc gain", at_least=0.11), False),
        (Gate("average_precision gain", at_least=0.11), False),
        # Of these less is better, so that a gain is positive all the same.
        (Gate("brier_score gain", at_least=0.04), True),
        (Gate("brier_score gain", at_least=0.06), False),
        (Gate("log_loss gain", at_least=0.09), True),
        (Gate("log_loss gain", at_least=0.11), False),
    ],
)
def test_bounds_are_inclusive_and_gains_count_what_is_better(gate: Gate, passes: bool) -> None:
    (result,) = run_gates([gate], _METRICS, _BASELINE)
    assert result.passed is passes


@pytest.mark.parametrize("gate", [Gate("roc_auc", at_least=-math.inf), Gate("roc_auc", at_most=math.inf)])
def test_nan_passes_no_gate(gate: Gate) -> None:
    (result,) = run_gates([gate], {"roc_auc": math.nan}, {})
    assert not result.passed


def test_no_gain_over_a_worse_baseline_is_none() -> None:
    (result,) = run_gates([Gate("roc_auc gain", at_least=0.0)], {"roc_auc": 0.5}, {"roc_auc": 0.6})
    assert not result.passed


@pytest.mark.parametrize("metric", ["recall", "extra gain", "gain"])
def test_an_unknown_metric_is_named_beside_the_known_ones(metric: str) -> None:
    with pytest.raises(ContractError, match=f"unknown metrics: {metric}; there are: roc_auc, .*log_loss gain"):
        run_gates([Gate("roc_auc", at_least=0), Gate(metric, at_least=0)], _METRICS, _BASELINE)


def test_a_gate_that_cannot_fail_is_refused() -> None:
    with pytest.raises(ContractError, match="gate on roc_auc has no bound"):
        Gate("roc_auc")


def test_every_failure_is_told_with_value_and_bound() -> None:
    gates = [
        Gate("roc_auc", at_least=0.9),
        Gate("average_precision", at_least=0.1),
        Gate("log_loss", at_least=0.0, at_most=0.1),
    ]
    with pytest.raises(GateError) as caught:
        demand(run_gates(gates, _METRICS, _BASELINE))
    assert str(caught.value).splitlines() == [
        "the release is stopped",
        "  - roc_auc is 0.7, wanted is at least 0.9",
        "  - log_loss is 0.5, wanted is at least 0 and at most 0.1",
    ]
    assert caught.value.exit_status == 3


def test_when_all_pass_nothing_is_raised() -> None:
    demand(run_gates([Gate("roc_auc", at_least=0.1)], _METRICS, _BASELINE))
    demand(())
