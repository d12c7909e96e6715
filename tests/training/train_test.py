"""From a snapshot to a release that passed its gates, or to no release at all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from support.flights import make_columns
from support.snapshots import commit_columns

from athanor.data.profile import Profile
from athanor.data.snapshot import Snapshot
from athanor.errors import ContractError, DataError, GateError
from athanor.features.features import Features, Model
from athanor.home import Home
from athanor.release.files import CONTRACT, MODEL_CARD, REFERENCE_PROFILE, REFERENCE_ROWS, read_release
from athanor.release.predictor import TOLERANCE, Predictor
from athanor.training import train as module
from athanor.training.compilation import compile_pipeline
from athanor.training.recipe import Candidate, Gate, Recipe
from athanor.training.train import Training
from projects.flight_delay.model import MODEL


def train(recipe: Recipe, snapshot: Snapshot, home: Home) -> Training:
    """In this process: starting others takes seconds."""
    with joblib.parallel_config(backend="sequential"):
        return module.train(recipe, snapshot, home)


def _candidates(home: Home) -> list[Path]:
    return list(home.candidates.rglob("*"))


def test_a_release_tells_what_it_was_made_of(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    recipe = make_recipe()
    training = train(recipe, snapshot, home)
    identity = training.release.identity
    assert identity.model == MODEL.name
    assert identity.contract == MODEL.contract.fingerprint
    assert identity.snapshot == snapshot.digest
    assert identity.features == MODEL.features.digest
    assert identity.recipe == recipe.digest
    assert identity.algorithm == training.trials[0].candidate.name == "distance"
    assert identity.parameters == dict(training.trials[0].parameters)
    assert identity.metrics == dict(training.evaluation.metrics)
    assert identity.baseline == dict(training.evaluation.baseline)
    assert training.release.manifest.provenance.snapshot_version == snapshot.version
    assert training.release.json(CONTRACT) == MODEL.contract.promises
    assert training.parity <= TOLERANCE


def test_a_release_is_written_below_the_home_and_can_be_served(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    training = train(make_recipe(), snapshot, home)
    assert training.release.folder == home.candidates / MODEL.name / training.release.digest
    found = Predictor(read_release(training.release.folder), MODEL).predict(make_columns(50))
    assert np.all((found >= 0) & (found <= 1))
    assert found.std() > 0.01


def test_it_is_evaluated_on_the_later_rows_alone(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    training = train(make_recipe(), snapshot, home)
    columns = make_columns(snapshot.rows_out)
    later = columns["scheduled_departure"] >= np.datetime64("2013-01-08", "us")
    assert training.evaluation.rows == later.sum()
    assert training.evaluation.label_rate == pytest.approx(columns["arrived_late"][later].mean())
    assert sum(row["rows"] for row in training.evaluation.slices["origin"].values()) == later.sum()
    reference = Profile.from_json(training.release.files[REFERENCE_PROFILE])
    assert reference.rows == (~later).sum()


def test_the_reference_rows_are_rows_it_was_trained_on(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    reference = train(make_recipe(), snapshot, home).release.json(REFERENCE_ROWS)
    assert len(reference["rows"]) == len(reference["predictions"]) == 100
    assert all(row["scheduled_departure"] < "2013-01-08" for row in reference["rows"])
    assert not any("arrived_late" in row for row in reference["rows"])


def test_the_model_card_tells_metrics_gates_and_slices(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    training = train(make_recipe(), snapshot, home)
    card = training.release.files[MODEL_CARD].decode()
    assert card.startswith("# flight_delay\n")
    metrics, baseline = training.evaluation.metrics, training.evaluation.baseline
    for line in (
        f"| roc_auc | {metrics['roc_auc']:.4f} | {baseline['roc_auc']:.4f} |",
        f"| {training.gates[0]} | yes |",
        "| origin | rows | label rate | ROC AUC |",
    ):
        assert line in card.splitlines()


def test_the_same_recipe_and_snapshot_give_the_same_release(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    first = train(make_recipe(), snapshot, home)
    other = Home(tmp_path / "other")
    columns = {name: values[::-1] for name, values in make_columns(snapshot.rows_out).items()}
    same, _ = commit_columns(MODEL.contract, columns, other.datasets, raw="elsewhere")
    # In processes this time, as everybody else does.
    again = module.train(make_recipe(), same, other)
    assert again.release.digest == first.release.digest
    assert again.release.files == first.release.files


def test_other_rows_give_another_release(make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home) -> None:
    first = train(make_recipe(), snapshot, home)
    other, _ = commit_columns(MODEL.contract, make_columns(snapshot.rows_out, seed=1), home.datasets)
    assert train(make_recipe(), other, home).release.digest != first.release.digest
    assert train(make_recipe(), snapshot, home).release.digest == first.release.digest


def test_a_failing_gate_stops_the_release(make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home) -> None:
    gates = (Gate("roc_auc", at_least=0.999), Gate("log_loss", at_most=9), Gate("average_precision gain", at_least=0.9))
    with pytest.raises(GateError, match=r"roc_auc is 0\.\d+, wanted is at least 0\.999\n  - average_precision gain"):
        train(make_recipe(gates=gates), snapshot, home)
    assert _candidates(home) == []


def test_a_model_that_is_no_better_than_its_baseline_is_stopped(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    recipe = make_recipe()
    best = recipe.candidates[1].pipeline
    with pytest.raises(GateError, match="roc_auc gain is "):
        train(replace(recipe, baseline=best, gates=(Gate("roc_auc gain", at_least=0.03),)), snapshot, home)
    assert _candidates(home) == []


def test_a_graph_that_is_not_the_pipelines_stops_the_release(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_another(pipeline: Any, features: Any) -> bytes:
        pipeline[-1].coef_ = pipeline[-1].coef_ * 1.01
        content = compile_pipeline(pipeline, features)
        pipeline[-1].coef_ = pipeline[-1].coef_ / 1.01
        return content

    monkeypatch.setattr(module, "compile_pipeline", compile_another)
    with pytest.raises(GateError, match="graph and pipeline differ by"):
        train(make_recipe(), snapshot, home)
    assert _candidates(home) == []


@pytest.mark.parametrize("column", ["arrived_late", "flight_number"])
def test_features_see_only_columns_that_are_for_features(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home, column: str
) -> None:
    """The label above all: serving does not have it, and a model that saw it would pass every gate."""
    leaking = Features(("leak",), (), lambda columns: {"leak": columns[column]})
    model = Model(MODEL.contract, leaking)
    with pytest.raises(ContractError, match=column):
        train(make_recipe(model=model, candidates=(Candidate("dummy", DummyClassifier(), {}),)), snapshot, home)


@pytest.mark.parametrize(
    ("test_from", "message"),
    [
        (datetime(2012, 1, 1, tzinfo=UTC), r"0 rows before 2012-01-01T00:00:00\+00:00 have 0 different labels"),
        (datetime(2014, 1, 1, tzinfo=UTC), r"0 rows from 2014-01-01T00:00:00\+00:00 have 0 different labels"),
        (datetime(2013, 1, 1, 5, 30, tzinfo=UTC), r"1 rows before .* have 1 different labels, needed are 2"),
    ],
)
def test_a_split_that_leaves_nothing_to_learn_or_to_evaluate_is_refused(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home, test_from: datetime, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        train(make_recipe(test_from=test_from), snapshot, home)


def test_a_snapshot_of_another_contract_is_refused(
    make_recipe: Callable[..., Recipe], snapshot: Snapshot, home: Home
) -> None:
    with pytest.raises(DataError, match="was made under contract"):
        train(make_recipe(), replace(snapshot, contract="0" * 64), home)
