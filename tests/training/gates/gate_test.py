"""All gates run, each failure is reported, and NaN passes none."""

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from support.evidence import answer, read
from support.flights import make_columns

from athanor.contract.columns import Columns
from athanor.errors import ContractError, GateError
from athanor.release.record import GateResult
from athanor.training.evaluation.evidence import Evidence
from athanor.training.evaluation.slices import by_column
from athanor.training.gates.artefact import GraphSize, Latency, Parity
from athanor.training.gates.behaviour import Direction, Invariance, MinimumFunction
from athanor.training.gates.gate import Gate, make_result, raise_if_failed, run_gates
from athanor.training.gates.metrics import BetterThanBaseline, CalibrationError, Floor, NotWorseThanChampion
from athanor.training.gates.slices import NoSliceWorse


def _renumber(columns: Columns) -> Columns:
    return {**columns, "flight_number": np.ones_like(columns["flight_number"])}


def _fly_farther(columns: Columns) -> Columns:
    return {**columns, "distance": columns["distance"] + 500}


_OF_PROBABILITIES: Final[tuple[Gate, ...]] = (
    Floor("roc_auc", at_least=1e-9),
    Floor("log_loss", at_most=1e9),
    BetterThanBaseline("brier_score", by=0.0),
    NotWorseThanChampion("average_precision", margin=0.999),
    CalibrationError(at_most=0.999),
    NoSliceWorse((by_column("origin"),), "roc_auc", largest_drop=0.999, smallest_rows=1),
    GraphSize(at_most_bytes=10**9),
)
"""Bounds that any number meets."""

_OF_THE_GRAPH: Final[tuple[Gate, ...]] = (
    Invariance("flight number", _renumber, at_most=0.999),
    Direction("farther", _fly_farther, increases=True, share=1e-9),
    MinimumFunction("any flight", make_columns(3), high=0.999_999),
    Parity(at_most=0.999),
    Latency(at_most_ms=1e9),
)


@pytest.mark.parametrize("gate", [*_OF_PROBABILITIES, *_OF_THE_GRAPH], ids=lambda gate: gate.name)
def test_a_model_that_answers_nan_passes_no_gate(gate: Gate, broken: Evidence, good: Evidence) -> None:
    assert np.isnan(read(broken.answers)).all()
    result = gate.run(broken)
    assert not result.passed
    assert result.value is None
    assert "nan" in result.explanation
    assert gate.run(replace(good, champion=broken.champion)).passed


@pytest.mark.parametrize("gate", _OF_PROBABILITIES, ids=lambda gate: gate.name)
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_a_single_invalid_probability_fails_every_gate_and_is_reported(
    gate: Gate, value: float, broken: Evidence, good: Evidence
) -> None:
    probabilities = read(good.answers).copy()
    probabilities[17] = value
    result = gate.run(replace(good, answers=answer(probabilities), champion=broken.champion))
    assert not result.passed
    assert f"late_probability is invalid in 1 of 3,000 rows, and {value:g} in row 17; allowed is" in result.explanation


def test_a_baseline_or_champion_with_nan_fails_the_gate(good: Evidence, broken: Evidence) -> None:
    champion = broken.champion
    assert champion is not None
    silent = replace(good, baseline=broken.answers, champion=replace(champion, answers=broken.answers))
    for gate in (BetterThanBaseline("roc_auc"), NotWorseThanChampion("roc_auc", margin=0.1)):
        result = gate.run(silent)
        assert not result.passed
        assert "nan" in result.explanation


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_has_not_passed(value: float) -> None:
    result = make_result(Floor("roc_auc", at_least=0.5), True, value, "anything", "what it saw")
    assert (result.passed, result.value) == (False, None)


def test_all_gates_run_after_a_failure_and_each_is_shown(good: Evidence) -> None:
    shown: list[str] = []

    def show(words: str, amount: int = 1) -> None:
        shown.append(words)

    gates = (Floor("roc_auc", at_least=0.99), Floor("brier_score", at_most=0.2))
    results = run_gates(gates, good, show)
    assert [result.passed for result in results] == [False, True]
    assert shown == ["floor of roc_auc: FAILED", "ceiling of brier_score: passed"]


def test_every_failure_is_reported_with_value_and_requirement() -> None:
    results = [
        GateResult(gate="first", passed=False, value=0.7, wanted="at least 0.9", explanation="roc_auc is 0.7"),
        GateResult(gate="second", passed=True, value=0.2, wanted="at most 0.3", explanation="brier_score is 0.2"),
        GateResult(gate="third", passed=False, value=None, wanted="a number", explanation="it is none"),
    ]
    with pytest.raises(GateError) as caught:
        raise_if_failed(results, where="reports/card.html")
    assert str(caught.value).splitlines() == [
        "the release was stopped by its gates",
        "  - first: roc_auc is 0.7; required: at least 0.9",
        "  - third: it is none; required: a number",
        "full report: reports/card.html",
    ]
    assert caught.value.exit_status == 3


def test_passing_gates_raise_nothing() -> None:
    raise_if_failed([GateResult(gate="second", passed=True, value=0.2, wanted="at most 0.3", explanation="it is 0.2")])
    raise_if_failed(())


def test_gates_that_raise_are_all_named(good: Evidence) -> None:
    def stumble(columns: Columns) -> Columns:
        return {**columns, "distance": columns["mileage"]}

    gates = (
        Floor("roc_auc", at_least=0.5),
        Invariance("mileage", stumble, at_most=0.1),
        Direction("nothing", lambda columns: columns, increases=True),
    )
    with pytest.raises(ContractError) as caught:
        run_gates(gates, good)
    lines = str(caught.value).splitlines()
    assert lines[1] == "  - invariance: mileage: it raised KeyError: 'mileage'; correct it in the recipe"
    assert lines[2].startswith("  - direction: nothing: the change changes no value")
