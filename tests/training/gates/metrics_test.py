"""Models that are worse on all rows together are stopped, by the gate that is there for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from support.evidence import answer, read
from support.pipelines import make_pipeline_over

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.training.evaluation.evidence import Champion, Evidence
from athanor.training.gates.gate import Gate
from athanor.training.gates.metrics import BetterThanBaseline, CalibrationError, Floor, NotWorseThanChampion

Gather = Callable[..., Evidence]


def _shuffle(columns: Columns, name: str, share: float = 1.0) -> Columns:
    """Gives a share of the rows a value of a column that was another row's."""
    random = np.random.default_rng(0)
    values = columns[name].copy()
    rows = np.flatnonzero(random.random(len(values)) < share)
    values[rows] = values[random.permutation(rows)]
    return {**columns, name: values}


def _over_trees(**parameters: Any) -> Any:
    return make_pipeline(
        make_pipeline_over("distance", "wind_speed")[0], DecisionTreeClassifier(random_state=0, **parameters)
    )


def _balanced() -> Any:
    """Takes both labels for equally likely."""
    pipeline = make_pipeline_over("distance", "wind_speed")
    return pipeline.set_params(logisticregression__class_weight="balanced")


@pytest.mark.parametrize(
    "gate",
    [
        Floor("roc_auc", at_least=0.9),
        Floor("average_precision", at_least=0.85),
        Floor("brier_score", at_most=0.12),
        Floor("log_loss", at_most=0.37),
        Floor("roc_auc", at_least=0.9, at_most=0.95),
    ],
)
def test_labels_with_noise_make_a_model_that_a_floor_stops(
    gate: Floor, gather: Gather, columns: Columns, good: Evidence
) -> None:
    noisy = gather(_over_trees(min_samples_leaf=20), fitted_on=_shuffle(columns, "arrived_late", share=0.5))
    result = gate.run(noisy)
    assert not result.passed
    assert result.explanation == f"{gate.metric} is {result.value:.4g}"
    assert gate.run(good).passed


def test_a_metric_that_is_too_good_to_be_true_is_stopped(gather: Gather, columns: Columns, good: Evidence) -> None:
    """The arrival is known before the departure: somebody joined the wrong table."""
    leaking = {**columns, "temperature": 30 + 40 * columns["arrived_late"]}
    leaked = gather(make_pipeline_over("distance", "temperature"), leaking, leaking)
    gate = Floor("roc_auc", at_least=0.8, at_most=0.97)
    assert not gate.run(leaked).passed
    assert gate.run(leaked).wanted == "at least 0.8 and at most 0.97"
    assert gate.run(good).passed


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_score", "log_loss"])
def test_a_model_without_the_feature_that_matters_is_no_better_than_a_baseline_with_it(
    metric: str, gather: Gather, good: Evidence
) -> None:
    gate = BetterThanBaseline(metric, by=0.01)
    poor = replace(gather(make_pipeline_over("wind_speed")), baseline=good.answers)
    result = gate.run(poor)
    assert not result.passed
    assert result.value is not None
    assert result.value < 0
    assert gate.run(good).passed


def test_no_gain_at_all_is_not_better(good: Evidence) -> None:
    assert not BetterThanBaseline("roc_auc").run(replace(good, baseline=good.answers)).passed


def test_a_smaller_gain_than_demanded_is_not_enough(good: Evidence) -> None:
    gain = BetterThanBaseline("brier_score").run(good).value
    assert gain is not None
    assert BetterThanBaseline("brier_score", by=gain).run(good).passed
    assert not BetterThanBaseline("brier_score", by=gain + 1e-6).run(good).passed


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "brier_score", "log_loss"])
def test_a_model_fitted_on_a_shuffled_column_is_worse_than_the_champion(
    metric: str, gather: Gather, columns: Columns, champion: Champion, good: Evidence
) -> None:
    gate = NotWorseThanChampion(metric, margin=0.005)
    confused = gather(fitted_on=_shuffle(columns, "distance", share=0.7), champion=champion)
    result = gate.run(confused)
    assert not result.passed
    assert "over champion 1.2.3 (c0ffeec0ffee) is -" in result.explanation
    assert "95 % interval" in result.explanation
    assert gate.run(replace(good, champion=champion)).passed


def test_a_leaked_label_that_is_not_there_any_more_loses_against_the_champion(
    gather: Gather, columns: Columns, champion: Champion
) -> None:
    leaking = {**columns, "temperature": 30 + 40 * columns["arrived_late"]}
    leaked = gather(make_pipeline_over("distance", "wind_speed", "temperature"), leaking, champion=champion)
    assert not NotWorseThanChampion("average_precision", margin=0.01).run(leaked).passed
    assert not CalibrationError(at_most=0.05).run(leaked).passed


def test_few_rows_do_not_prove_that_a_model_is_as_good(good: Evidence, champion: Champion) -> None:
    """It is the same but for a little noise; a thousand rows show it, and thirty do not."""
    noise = np.random.default_rng(0).normal(0, 0.02, len(good.rows))
    challenger = replace(good, answers=answer(np.clip(read(good.answers) + noise, 0, 1)), champion=champion)
    few = np.arange(30)
    on_few = replace(
        challenger,
        rows=good.rows.take(few),
        answers=answer(read(challenger.answers)[few]),
        champion=replace(champion, answers=answer(read(good.answers)[few])),
    )
    gate = NotWorseThanChampion("brier_score", margin=0.001)
    assert gate.run(challenger).passed
    assert not gate.run(on_few).passed


def test_a_margin_of_zero_passes_the_champion_itself(good: Evidence, champion: Champion) -> None:
    assert NotWorseThanChampion("log_loss", margin=0.0).run(replace(good, champion=champion)).passed


def test_without_a_champion_the_gate_passes(gather: Gather) -> None:
    result = NotWorseThanChampion("roc_auc", margin=0.0).run(gather(make_pipeline_over("visibility")))
    assert result.passed
    assert result.value is None
    assert "no champion" in result.explanation


def test_a_champion_without_predictions_stops_even_a_good_model(good: Evidence, champion: Champion) -> None:
    silent = replace(champion, answers=None, reason="the champion needs columns")
    result = NotWorseThanChampion("roc_auc", margin=0.5).run(replace(good, champion=silent))
    assert not result.passed
    assert (
        "cannot be compared: the champion needs columns; train once with a recipe without this gate"
        in result.explanation
    )
    assert "a recipe without this gate" in result.explanation


def test_a_tree_that_is_too_sure_of_itself_is_not_calibrated(gather: Gather, good: Evidence) -> None:
    gate = CalibrationError(at_most=0.03)
    result = gate.run(gather(_over_trees()))
    assert not result.passed
    assert result.explanation.startswith("in 10 bins of equal counts, mean probability and rate differ by 0.22")
    assert gate.run(good).passed


def test_a_model_that_takes_both_labels_for_equally_likely_is_not_calibrated(gather: Gather) -> None:
    assert not CalibrationError(at_most=0.03).run(gather(_balanced())).passed


def test_one_bin_sees_no_more_than_a_shift_of_all(gather: Gather, good: Evidence) -> None:
    flattened = replace(good, answers=answer(np.full(len(good.rows), good.rows.labels.mean())))
    assert CalibrationError(at_most=0.001, bins=1).run(flattened).passed
    assert not CalibrationError(at_most=0.001).run(replace(good, answers=answer(read(good.answers) ** 2))).passed
    assert not CalibrationError(at_most=0.03, bins=1).run(gather(_balanced())).passed


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Floor("roc_auc"), "floor of roc_auc: neither at_least nor at_most is given"),
        (lambda: Floor("roc_auc", at_least=np.nan), "at_least is nan"),
        (lambda: Floor("roc_auc", at_least=-np.inf), "at_least is -inf"),
        (lambda: Floor("log_loss", at_most=np.inf), "at_most is inf"),
        (lambda: Floor("log_loss", at_most=np.nan), "at_most is nan"),
        (lambda: Floor("roc_auc", at_least=0.8, at_most=0.7), "at_least 0.8 is above at_most 0.7"),
        (lambda: BetterThanBaseline("roc_auc", by=-0.1), "by is -0.1"),
        (lambda: BetterThanBaseline("log_loss", by=np.inf), "by is inf"),
        (lambda: NotWorseThanChampion("roc_auc", margin=-0.1), "margin is -0.1"),
        (lambda: NotWorseThanChampion("roc_auc", margin=np.nan), "margin is nan"),
        (lambda: NotWorseThanChampion("roc_auc", margin=0.1, confidence=1.0), "confidence is 1"),
        (lambda: NotWorseThanChampion("roc_auc", margin=0.1, confidence=np.nan), "confidence is nan"),
        (lambda: CalibrationError(at_most=1.0), "at_most is 1"),
        (lambda: CalibrationError(at_most=np.nan), "at_most is nan"),
        (lambda: CalibrationError(at_most=0.1, bins=0), "bins is 0"),
    ],
)
def test_a_gate_that_cannot_fail_or_be_understood_is_refused(make: Callable[[], Gate], problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        make()
