"""Gates on categories and numbers: each passes a model that is right and stops one that is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression
from support.tasks import SPECIES, make_binary, make_multiclass, make_regression

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.features.features import Features, Model
from athanor.tasks.task import Task
from athanor.tasks.tasks import task_of
from athanor.training.evaluation.evidence import Champion, Evidence, Fitted, Rows
from athanor.training.evaluation.slices import by_column
from athanor.training.gates.artefact import GraphSize, Latency, Parity
from athanor.training.gates.behaviour import Direction, Invariance, MinimumFunction
from athanor.training.gates.coverage import Coverage
from athanor.training.gates.gate import Gate, list_gate_problems
from athanor.training.gates.metrics import BetterThanBaseline, CalibrationError, Floor, NotWorseThanChampion
from athanor.training.gates.slices import NoSliceWorse

_ROWS: Final = 3_000
_BY_COLOR: Final = (by_column("color"),)


@dataclass(frozen=True)
class _Ungraphed(Evidence):
    """Evidence whose pipeline answers in place of a graph: no compiler takes part."""

    def predict(self, columns: Columns) -> Columns:
        return self.fitted.answer(_frame(columns))


def _frame(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame({"amount": columns["amount"]})


def _columns(seed: int) -> Columns:
    random = np.random.default_rng(seed)
    return {
        "amount": random.uniform(0, 9, _ROWS),
        "count": random.poisson(3, _ROWS).astype(np.float64),
        "color": random.choice(np.array(["red", "green"], dtype=object), _ROWS),
    }


def _say(columns: Columns, task: Task, seed: int) -> NDArray[Any]:
    """Outcomes that follow the amount, whatever the color."""
    noise = np.random.default_rng(seed).normal(size=_ROWS)
    if task.name == "regression":
        return np.asarray(100 + 10 * columns["amount"] + 8 * noise)
    return np.digitize(columns["amount"] + noise, (3, 6))


def _make_rows(task: Task, seed: int) -> Rows:
    columns = _columns(seed)
    y = _say(columns, task, 10 + seed)
    label = y if task.name == "regression" else np.array(SPECIES, dtype=object)[y]
    return Rows({**columns, "label": label}, _frame(columns), y)


def _gather(task: Task, estimator: Any, **replaced: Any) -> Evidence:
    """Fits on some rows, finds calibration and doubt on others, and answers the rest."""
    model = Model(task.contract, Features(("amount",), (), lambda columns: columns))
    past, middle, later = (_make_rows(task, seed) for seed in range(3))
    estimator.fit(past.frame, past.labels)
    folds = [(middle.labels, task.outputs(estimator, middle.frame))]
    doubt = task.find_doubt(folds, task.coverage) if task.coverage else None
    fitted = Fitted(estimator, task, None, doubt)
    baseline = Fitted(task.default_baseline().fit(past.frame, past.labels), task)
    answers = fitted.answer(later.frame)
    evidence = _Ungraphed(model, task, later, fitted, b"graph", answers, baseline.answer(later.frame))
    return replace(evidence, **replaced)


@pytest.fixture(scope="module")
def species() -> Evidence:
    return _gather(task_of(make_multiclass(with_sets=True), 0.9), LogisticRegression())


@pytest.fixture(scope="module")
def mass() -> Evidence:
    return _gather(task_of(make_regression(with_interval=True), 0.9), LinearRegression())


def _change(evidence: Evidence, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Evidence:
    """As if the estimator gave other outputs."""
    task, fitted = evidence.task, evidence.fitted
    outputs = change(task.outputs(fitted.pipeline, evidence.rows.frame))
    return replace(evidence, answers=task.finish(outputs, fitted.calibration, fitted.doubt))


def _shuffle(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.random.default_rng(0).permutation(outputs)


def _shuffle_red(evidence: Evidence) -> Evidence:
    red = evidence.rows.columns["color"] == "red"

    def change(outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(red[:, None], _shuffle(outputs), outputs)

    return _change(evidence, change)


@pytest.mark.parametrize(
    "gate",
    [
        Floor("accuracy", at_least=0.6),
        Floor("balanced_accuracy", at_least=0.6),
        Floor("macro_f1", at_least=0.6),
        Floor("roc_auc", at_least=0.8),
        Floor("log_loss", at_most=0.8),
        Floor("brier_score", at_most=0.5),
        BetterThanBaseline("log_loss", by=0.2),
        BetterThanBaseline("accuracy", by=0.2),
        NotWorseThanChampion("macro_f1", margin=0.02),
        CalibrationError(at_most=0.05),
        Coverage(at_least=0.88, at_most=0.92),
    ],
    ids=lambda gate: gate.name,
)
def test_a_gate_stops_a_model_that_confuses_categories(gate: Gate, species: Evidence) -> None:
    championed = replace(species, champion=Champion("1.0.0", "c0ffee" * 10, species.answers))
    assert gate.run(championed).passed
    result = gate.run(_change(championed, _shuffle))
    assert not result.passed
    assert result.value is not None


@pytest.mark.parametrize(
    "gate",
    [
        Floor("mae", at_most=8.0),
        Floor("rmse", at_most=9.0),
        Floor("median_absolute_error", at_most=7.0),
        Floor("r2", at_least=0.8),
        Floor("mean_pinball", at_most=2.0),
        Floor("interval_width", at_least=20.0, at_most=40.0),
        BetterThanBaseline("mae", by=10.0),
        NotWorseThanChampion("rmse", margin=0.5),
        CalibrationError(at_most=0.05),
        Coverage(at_least=0.88, at_most=0.92),
    ],
    ids=lambda gate: gate.name,
)
def test_a_gate_stops_a_model_that_gets_numbers_wrong(gate: Gate, mass: Evidence) -> None:
    championed = replace(mass, champion=Champion("1.0.0", "c0ffee" * 10, mass.answers))
    assert gate.run(championed).passed
    wrong = _change(championed, _shuffle)
    if gate.name == "range of interval_width":
        ends = {"mass_from": wrong.answers["mass"] - 50, "mass_to": wrong.answers["mass"] + 50}
        wrong = replace(wrong, answers={**wrong.answers, **ends})
    result = gate.run(wrong)
    assert not result.passed
    assert result.value is not None


@pytest.mark.parametrize(
    ("metric", "drop"), [("log_loss", 0.3), ("accuracy", 0.1), ("roc_auc", 0.1), ("coverage", 0.1)]
)
def test_a_slice_whose_categories_are_confused_is_named(metric: str, drop: float, species: Evidence) -> None:
    gate = NoSliceWorse(_BY_COLOR, metric, largest_drop=drop, smallest_rows=500)
    assert gate.run(species).passed
    result = gate.run(_shuffle_red(species))
    assert not result.passed
    assert "the worst is color red (" in result.explanation


@pytest.mark.parametrize(("metric", "drop"), [("mae", 5.0), ("r2", 0.3), ("mean_pinball", 3.0)])
def test_a_slice_whose_numbers_are_wrong_is_named(metric: str, drop: float, mass: Evidence) -> None:
    gate = NoSliceWorse(_BY_COLOR, metric, largest_drop=drop, smallest_rows=500)
    assert gate.run(mass).passed
    result = gate.run(_shuffle_red(mass))
    assert not result.passed
    assert "the worst is color red (" in result.explanation


@pytest.mark.parametrize("name", ["species", "mass"])
def test_a_slice_that_is_not_covered_fails_whatever_all_rows_are(name: str, request: pytest.FixtureRequest) -> None:
    good = cast("Evidence", request.getfixturevalue(name))
    gate = Coverage(at_least=0.6, slices=_BY_COLOR, slice_margin=0.05, smallest_rows=500)
    assert gate.run(good).passed
    result = gate.run(_miss_red(good))
    assert not result.passed
    assert "the farthest is color red (" in result.explanation
    assert Coverage(at_least=0.6).run(_miss_red(good)).passed


def _miss_red(evidence: Evidence) -> Evidence:
    """Of half of the red rows the doubt holds nothing."""
    missed = (evidence.rows.columns["color"] == "red") & (np.arange(_ROWS) % 2 == 0)
    answers = dict(evidence.answers)
    for name, values in evidence.answers.items():
        if name.startswith("may_be_"):
            answers[name] = np.where(missed, 0.0, values)
    if "mass_to" in answers:
        answers["mass_to"] = np.where(missed, answers["mass_from"], answers["mass_to"])
    return replace(evidence, answers=answers)


def test_coverage_of_slices_that_are_all_small_was_not_looked_at(mass: Evidence) -> None:
    result = Coverage(at_least=0.8, slices=_BY_COLOR, smallest_rows=10_000).run(mass)
    assert not result.passed
    assert "no slice has that many rows, so none was looked at; lower smallest_rows" in result.explanation


def test_answers_without_doubt_fail_the_gate_on_it(mass: Evidence) -> None:
    result = Coverage(at_least=0.8).run(replace(mass, answers={"mass": mass.answers["mass"]}))
    assert not result.passed
    assert result.explanation == "the answers have no intervals or sets"


def test_a_champion_without_intervals_is_compared_by_its_numbers_alone(mass: Evidence) -> None:
    older = replace(mass, champion=Champion("1.0.0", "c0ffee" * 10, {"mass": mass.answers["mass"]}))
    assert NotWorseThanChampion("mae", margin=0.1).run(older).passed
    result = NotWorseThanChampion("coverage", margin=0.1).run(older)
    assert not result.passed
    assert "champion 1.0.0 (c0ffeec0ffee) cannot be compared: coverage is not defined" in result.explanation


def _add(amount: float) -> Callable[[Columns], Columns]:
    return lambda columns: {**columns, "amount": columns["amount"] + amount}


def _recount(columns: Columns) -> Columns:
    return {**columns, "count": np.zeros_like(columns["count"])}


def test_behaviour_is_about_the_probability_of_a_category(species: Evidence) -> None:
    assert Direction("more", _add(1.0), increases=True, of="Gentoo").run(species).passed
    assert Direction("more", _add(1.0), increases=False, of="Adelie").run(species).passed
    assert not Direction("more", _add(1.0), increases=True, of="Adelie").run(species).passed
    result = Invariance("amount", _add(1.0), at_most=0.2, of="Adelie").run(species)
    assert not result.passed
    assert "the largest change of the probability of Adelie is " in result.explanation
    assert Invariance("count", _recount, at_most=0.2, of="Adelie").run(species).passed
    large = {"amount": np.array([9.0]), "count": np.array([3.0])}
    assert MinimumFunction("large", large, low=0.9, of="Gentoo").run(species).passed
    assert not MinimumFunction("large", large, low=0.1, of="Adelie").run(species).passed


def test_behaviour_is_about_the_number(mass: Evidence) -> None:
    assert Direction("more", _add(1.0), increases=True, by=9.0).run(mass).passed
    assert not Direction("more", _add(1.0), increases=True, by=11.0).run(mass).passed
    assert Invariance("count", _recount, at_most=5.0).run(mass).passed
    assert not Invariance("amount", _add(1.0), at_most=5.0).run(mass).passed
    large = {"amount": np.array([9.0]), "count": np.array([3.0])}
    assert MinimumFunction("large", large, low=180.0, high=200.0).run(mass).passed
    result = MinimumFunction("large", large, high=150.0).run(mass)
    assert not result.passed
    assert result.wanted == "at most 150"


@pytest.mark.parametrize("name", ["species", "mass"])
def test_parity_finds_one_row_that_is_answered_otherwise(name: str, request: pytest.FixtureRequest) -> None:
    good = cast("Evidence", request.getfixturevalue(name))
    assert Parity().run(good).passed
    moved = good.rows.columns["amount"].copy()
    moved[1_234] = 9 - moved[1_234]
    other = replace(good, rows=replace(good.rows, columns={**good.rows.columns, "amount": moved}))
    result = Parity().run(other)
    assert not result.passed
    assert "in row 1234: the graph returns " in result.explanation


def test_parity_of_numbers_is_measured_in_units_of_their_spread(mass: Evidence) -> None:
    """Of labels within 150 of their median, a difference of 5e-5 is one of single precision."""

    def answering(by: float) -> Evidence:
        moved = {**mass.rows.columns, "amount": mass.rows.columns["amount"] + by / 10}
        return replace(mass, rows=replace(mass.rows, columns=moved))

    assert Parity().run(answering(5e-5)).passed
    assert not Parity().run(answering(1e-3)).passed


def test_latency_and_size_are_measured_whatever_the_answer(species: Evidence, mass: Evidence) -> None:
    for evidence in (species, mass):
        assert Latency(at_most_ms=1e6, calls=3).run(evidence).passed
        assert GraphSize(at_most_bytes=10).run(evidence).passed
        assert not GraphSize(at_most_bytes=4).run(evidence).passed


@pytest.mark.parametrize("gate", [Floor("mae", at_most=1e9), Latency(at_most_ms=1e9, calls=2), GraphSize(100)])
def test_a_number_out_of_range_passes_no_gate(gate: Gate) -> None:
    """The pipeline says NaN, as the graph does that takes its place."""
    task = task_of(make_regression(minimum=0))
    evidence = _gather(task, LinearRegression())
    evidence.answers["mass"][7] = np.nan
    broken = _Silent(**{name: getattr(evidence, name) for name in evidence.__dataclass_fields__})
    result = gate.run(broken)
    assert not result.passed
    assert result.value is None
    assert "mass is invalid in 1 of " in result.explanation or "mass is invalid in 2 of 2 rows" in result.explanation


class _Silent(_Ungraphed):
    """Evidence whose graph answers NaN."""

    def predict(self, columns: Columns) -> Columns:
        return {name: np.full_like(values, np.nan) for name, values in super().predict(columns).items()}


_CASE: Final = {"amount": np.array([1.0])}


@pytest.mark.parametrize(
    ("task", "gate", "problem"),
    [
        (
            task_of(make_binary()),
            Floor("mae", at_most=1.0),
            "unknown metric 'mae'; the label won is",
        ),
        (task_of(make_binary()), Floor("roc_auc", at_least=0.0), "at_least is 0; it must be above 0 and at most 1"),
        (task_of(make_binary()), Floor("roc_auc", at_least=1.1), "at_least is 1.1; it must be above 0 and at most 1"),
        (task_of(make_binary()), Floor("roc_auc", at_most=1.0), "at_most is 1; it must be at least 0 and less than 1"),
        (task_of(make_multiclass()), Floor("average_precision", at_least=0.5), "use one of log_loss, brier_score, acc"),
        (task_of(make_multiclass()), Floor("brier_score", at_most=2.0), "at_most is 2; it must be at least 0 and less"),
        (task_of(make_regression()), Floor("coverage", at_least=0.8), "unknown metric 'coverage'"),
        (task_of(make_regression()), Floor("mean_poisson_deviance", at_most=1.0), "unknown metric 'mean_poisson"),
        (task_of(make_binary()), BetterThanBaseline("recall"), "unknown metric 'recall'"),
        (
            task_of(make_binary()),
            BetterThanBaseline("roc_auc", by=1.0),
            "by is 1; it must be at least 0 and less than 1",
        ),
        (task_of(make_binary()), NotWorseThanChampion("recall", margin=0.1), "unknown metric 'recall'"),
        (task_of(make_binary()), NotWorseThanChampion("roc_auc", margin=1.0), "margin is 1; it must be at least 0"),
        (task_of(make_binary()), NoSliceWorse(_BY_COLOR, "recall", 0.1, 100), "unknown metric 'recall'"),
        (task_of(make_binary()), NoSliceWorse(_BY_COLOR, "roc_auc", 1.0, 100), "largest_drop is 1"),
        (task_of(make_regression()), CalibrationError(0.1), "calibration error: the number mass claims nothing that"),
        (task_of(make_binary()), Coverage(at_least=0.8), "coverage: the answer says no doubt; declare columns with"),
        (task_of(make_binary(with_sets=True)), Coverage(at_least=0.8), "and a coverage in the recipe"),
        (task_of(make_binary()), Invariance("x", _recount, at_most=1.0), "invariance: x: at_most is 1"),
        (
            task_of(make_multiclass()),
            Invariance("x", _recount, at_most=0.1),
            "invariance: x: no category is named; use",
        ),
        (task_of(make_multiclass()), Direction("x", _recount, True, of="Emperor"), "direction: x: 'Emperor' is no"),
        (task_of(make_binary()), Direction("x", _recount, True, by=1.0), "direction: x: by is 1"),
        (
            task_of(make_regression()),
            MinimumFunction("x", _CASE, low=1.0, of="Adelie"),
            "of='Adelie' does not apply to",
        ),
        (
            task_of(make_binary()),
            MinimumFunction("x", _CASE, high=1.0),
            "allow every value of probability, so the gate",
        ),
        (
            task_of(make_binary()),
            MinimumFunction("x", _CASE, low=1.5),
            "allow no value of probability, so nothing could",
        ),
    ],
)
def test_a_gate_that_does_not_fit_the_task_is_refused_by_the_recipe(task: Task, gate: Gate, problem: str) -> None:
    (found,) = list_gate_problems([gate], task)
    assert problem in found
    assert found.startswith(gate.name)


@pytest.mark.parametrize(
    ("task", "gates"),
    [
        (
            task_of(make_multiclass(with_sets=True), 0.9),
            (
                Floor("brier_score", at_most=1.5),
                CalibrationError(0.1),
                Coverage(at_least=0.8),
                Invariance("x", _recount, 0.1, of=SPECIES[0]),
            ),
        ),
        (
            task_of(make_regression(with_interval=True), 0.9),
            (
                Floor("r2", at_least=-1.0),
                BetterThanBaseline("mae", by=1e6),
                CalibrationError(0.1),
                MinimumFunction("x", _CASE, high=1e9),
                Invariance("x", _recount, at_most=500.0),
                Parity(),
            ),
        ),
    ],
)
def test_gates_that_fit_the_task_are_not_refused(task: Task, gates: tuple[Gate, ...]) -> None:
    assert list(list_gate_problems(gates, task)) == []


def test_a_gate_on_another_tasks_metric_does_not_run(mass: Evidence) -> None:
    with pytest.raises(ContractError, match="unknown metric 'roc_auc'; the label label is regression, use one of mae"):
        Floor("roc_auc", at_least=0.5).run(mass)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Coverage, "coverage: neither at_least nor at_most is given"),
        (lambda: Coverage(at_least=0.0), "at_least is 0; it must be above 0 and at most 1"),
        (lambda: Coverage(at_most=1.0), "at_most is 1; it must be at least 0 and less than 1"),
        (lambda: Coverage(at_least=np.nan), "at_least is nan"),
        (lambda: Coverage(at_least=0.9, at_most=0.8), "at_least 0.9 is above at_most 0.8"),
        (lambda: Coverage(at_least=0.8, slice_margin=1.0), "slice_margin is 1"),
        (lambda: Coverage(at_least=0.8, smallest_rows=0), "smallest_rows is 0"),
    ],
)
def test_a_gate_that_cannot_fail_or_be_understood_is_refused(make: Callable[[], Gate], problem: str) -> None:
    with pytest.raises(ContractError, match=problem):
        make()
