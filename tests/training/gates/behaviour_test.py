"""Behavioural gates stop models with good metrics and wrong behaviour."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.evidence import read
from support.pipelines import make_pipeline_over

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.training.evaluation.evidence import Evidence
from athanor.training.gates.behaviour import Direction, Invariance, MinimumFunction
from athanor.training.gates.gate import Gate
from athanor.training.gates.metrics import Floor

Gather = Callable[..., Evidence]


def _warm(columns: Columns) -> Columns:
    return {**columns, "temperature": np.full_like(columns["temperature"], 70.0)}


def _fly_farther(columns: Columns) -> Columns:
    return {**columns, "distance": columns["distance"] + 500}


def _fly_less_far(columns: Columns) -> Columns:
    return {**columns, "distance": columns["distance"] - 500}


def _cases(good: Evidence, **values: float) -> Columns:
    """The first rows, with other values."""
    rows = {name: column[:5] for name, column in good.rows.columns.items()}
    return {**rows, **{name: np.full(5, value) for name, value in values.items()}}


def test_a_leaked_label_passes_the_floor_and_fails_invariance(gather: Gather, columns: Columns, good: Evidence) -> None:
    """The temperature contains the label, in the held-out rows too."""
    leaking = {**columns, "temperature": 30 + 40 * columns["arrived_late"]}
    leaked = gather(make_pipeline_over("distance", "wind_speed", "temperature"), leaking, leaking)
    gate = Invariance("temperature", _warm, at_most=0.05)
    result = gate.run(leaked)
    assert Floor("roc_auc", at_least=0.99).run(leaked).passed
    assert not result.passed
    assert result.gate == "invariance: temperature"
    assert result.explanation.startswith("of 2,000 rows the largest change of an answer is ")
    assert gate.run(good).passed


def test_the_row_that_changes_most_is_named(gather: Gather) -> None:
    evidence = gather(make_pipeline_over("distance", "temperature"))
    result = Invariance("temperature", _warm, at_most=0.0).run(evidence)
    row = int(result.explanation.rpartition("row ")[2])
    one = {name: values[[row]] for name, values in evidence.rows.columns.items()}
    change = read(evidence.predict(_warm(one))) - read(evidence.predict(one))
    assert abs(change[0]) == pytest.approx(result.value, abs=1e-6)


def test_a_model_that_learned_the_wrong_way_round_is_stopped(gather: Gather, columns: Columns, good: Evidence) -> None:
    """Distances were stored with the wrong sign until the evaluation began."""
    reversed_ = {**columns, "distance": -columns["distance"]}
    wrong = gather(fitted_on=reversed_)
    up = Direction("farther", _fly_farther, increases=True, by=0.01)
    down = Direction("less far", _fly_less_far, increases=False)
    for gate, way in ((up, "up"), (down, "down")):
        result = gate.run(wrong)
        assert not result.passed
        assert result.value is not None
        assert result.value < 0.05
        assert f"go {way}, by -" in result.explanation
        assert gate.run(good).passed


def test_rows_that_do_not_move_do_not_count_as_moving(gather: Gather) -> None:
    deaf = gather(make_pipeline_over("wind_speed"))
    result = Direction("farther", _fly_farther, increases=True, share=0.01).run(deaf)
    assert not result.passed
    assert result.value == 0


def test_a_share_of_the_rows_may_move_another_way(good: Evidence) -> None:
    def move_most(columns: Columns) -> Columns:
        sign = np.where(np.arange(len(columns["distance"])) % 10, 1, -1)
        return {**columns, "distance": columns["distance"] + 100 * sign}

    assert Direction("most", move_most, increases=True, share=0.9).run(good).passed
    assert not Direction("most", move_most, increases=True, share=0.91).run(good).passed


def test_moving_too_little_is_not_enough(good: Evidence) -> None:
    assert Direction("less far", _fly_less_far, increases=False).run(good).passed
    assert not Direction("less far", _fly_less_far, increases=False, by=0.1).run(good).passed


def test_a_model_that_fails_clear_cases_is_stopped(gather: Gather, good: Evidence) -> None:
    near, far = _cases(good, distance=100.0, wind_speed=5.0), _cases(good, distance=6_000.0, wind_speed=60.0)
    clueless = gather(make_pipeline_over("visibility"))
    for gate in (MinimumFunction("near and calm", near, high=0.1), MinimumFunction("far, in a gale", far, low=0.6)):
        result = gate.run(clueless)
        assert not result.passed
        assert result.value == pytest.approx(clueless.rows.labels.mean(), abs=0.1)
        assert gate.run(good).passed


def test_one_wrong_case_is_enough_and_is_named(good: Evidence) -> None:
    cases = _cases(good, distance=100.0, wind_speed=5.0)
    cases = {**cases, "distance": np.where(np.arange(5) == 3, 6_000.0, cases["distance"])}
    result = MinimumFunction("near and calm", cases, high=0.1).run(good)
    assert not result.passed
    assert "of 5 cases the worst is row 3 with 0." in result.explanation


def test_cases_without_all_features_are_refused_by_name(good: Evidence) -> None:
    cases = {name: values for name, values in _cases(good).items() if name not in ("carrier", "pressure")}
    with pytest.raises(
        ContractError, match="minimum function: any: its rows lack the feature columns carrier, pressure"
    ):
        MinimumFunction("any", cases, high=0.5).run(good)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda all_: {name: values[:-1] for name, values in all_.items()}, "turns 2000 rows of [a-z_]+ into 1999"),
        (lambda all_: {**all_, "distance": all_["distance"][:7]}, "turns 2000 rows of distance into 7"),
        (lambda all_: {name: all_[name] for name in all_ if name != "distance"}, "adds or drops the columns distance"),
        (lambda all_: {**all_, "distanse": all_["distance"]}, "adds or drops the columns distanse"),
        (dict, "changes no value"),
        (lambda all_: {name: values.copy() for name, values in all_.items()}, "changes no value"),
    ],
)
@pytest.mark.parametrize(
    "make", [lambda change: Invariance("x", change, 0.1), lambda change: Direction("x", change, increases=True)]
)
def test_a_change_of_nothing_or_of_columns_is_refused(
    make: Callable[[Any], Gate], change: Any, problem: str, good: Evidence
) -> None:
    with pytest.raises(ContractError, match=f": x: the change {problem}"):
        make(change).run(good)


def test_a_change_that_writes_into_its_input_has_no_side_effect(good: Evidence) -> None:
    def write(columns: Columns) -> Columns:
        columns["distance"][:] += 500
        return columns

    before = good.rows.columns["distance"].copy()
    written = Direction("farther", write, increases=True).run(good)
    assert written == Direction("farther", _fly_farther, increases=True).run(good)
    np.testing.assert_array_equal(good.rows.columns["distance"], before)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Invariance("x", _warm, at_most=-0.1), "at_most is -0.1"),
        (lambda: Invariance("x", _warm, at_most=np.nan), "at_most is nan"),
        (lambda: Direction("x", _warm, increases=True, share=0.0), "direction: x: share is 0"),
        (lambda: Direction("x", _warm, increases=True, share=1.1), "share is 1.1"),
        (lambda: Direction("x", _warm, increases=True, share=np.nan), "share is nan"),
        (lambda: Direction("x", _warm, increases=True, by=-0.1), "by is -0.1"),
        (lambda: Direction("x", _warm, increases=True, by=np.inf), "by is inf"),
        (
            lambda: MinimumFunction("x", {"a": np.ones(1)}),
            "minimum function: x: neither low nor high is given, so the gate could never fail",
        ),
        (lambda: MinimumFunction("x", {"a": np.ones(1)}, low=0.6, high=0.5), "low 0.6 and high 0.5 are not a range"),
        (lambda: MinimumFunction("x", {"a": np.ones(1)}, low=np.nan), "low is nan; it must be finite"),
        (lambda: MinimumFunction("x", {"a": np.ones(1)}, high=np.inf), "high is inf; it must be finite"),
        (lambda: MinimumFunction("x", {"a": np.ones(1), "b": np.ones(2)}, low=0.5), r"columns have \[1, 2\] rows"),
        (lambda: MinimumFunction("x", {"a": np.ones(0)}, low=0.5), r"columns have \[0\] rows"),
        (lambda: MinimumFunction("x", {}, low=0.5), r"columns have \[\] rows"),
    ],
)
def test_a_gate_that_cannot_fail_or_be_understood_is_refused(make: Callable[[], Gate], problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        make()
