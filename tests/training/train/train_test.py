"""From a snapshot to a release that passed its gates, or to no release at all."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from support.flights import make_columns
from support.pipelines import MakeRecipe
from support.reports import Page
from support.snapshots import commit_columns

from athanor.data.profiles.profile import Profile
from athanor.data.snapshots.snapshot import Snapshot
from athanor.errors import ContractError, DataError, GateError
from athanor.features.features import Features, Model
from athanor.home import Home
from athanor.release.files import (
    CONTRACT,
    DESCRIPTORS,
    MODEL_CARD,
    REFERENCE_PROFILE,
    REFERENCE_ROWS,
    TRAINING,
    read_release,
)
from athanor.release.predictor import Predictor
from athanor.release.record import TrainingRecord
from athanor.training.candidates import Candidate
from athanor.training.compile.model import compile_model
from athanor.training.gates.metrics import BetterThanBaseline, Floor
from athanor.training.recipe import Recipe
from athanor.training.splits import From, Share
from athanor.training.train import provenance
from athanor.training.train import release_build as building
from athanor.training.train import train as module
from athanor.training.train.release_build import TrainingOptions
from athanor.training.train.train import Training
from projects.delays.model import MODEL


def train(recipe: Recipe, snapshot: Snapshot, home: Home) -> Training:
    """In this process: starting others takes seconds."""
    with joblib.parallel_config(backend="sequential"):
        return module.train(recipe, snapshot, home)


def tune(recipe: Recipe, snapshot: Snapshot, home: Home) -> TrainingRecord:
    with joblib.parallel_config(backend="sequential"):
        return module.tune(recipe, snapshot, home)


def _candidates(home: Home) -> list[Path]:
    return list(home.candidates.rglob("*"))


def test_a_release_tells_what_it_was_made_of(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    recipe = make_recipe()
    training = train(recipe, snapshot, home)
    identity = training.release.identity
    assert identity.model == MODEL.name
    assert identity.contract == MODEL.contract.fingerprint
    assert identity.snapshot == snapshot.digest
    assert identity.features == MODEL.features_digest
    assert identity.recipe == recipe.digest
    assert identity.algorithm == training.record.trials[0].algorithm == "distance"
    assert identity.parameters == training.record.trials[0].parameters
    assert identity.metrics == {name: of.value for name, of in training.record.metrics.items()}
    assert identity.baseline == {name: of.value for name, of in training.record.baseline.items()}
    assert training.release.manifest.provenance.snapshot_version == snapshot.version
    assert training.release.json(CONTRACT) == MODEL.contract.wire


def test_a_release_is_written_below_the_home_and_can_be_served(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    training = train(make_recipe(), snapshot, home)
    assert training.release.location == str(home.candidates / MODEL.name / training.release.digest)
    answers = Predictor(read_release(Path(training.release.location))).predict(make_columns(50))
    found = answers[MODEL.contract.prediction.name]
    assert np.all((found >= 0) & (found <= 1))
    assert found.std() > 0.01


def test_it_is_evaluated_on_the_later_rows_alone(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    training = train(make_recipe(), snapshot, home)
    columns = make_columns(snapshot.rows_out)
    later = columns["scheduled_departure"] >= np.datetime64("2013-01-08", "us")
    assert training.record.rows_evaluated == later.sum()
    assert training.record.rows_trained == (~later).sum()
    assert training.record.label == {"rate": pytest.approx(columns["arrived_late"][later].mean())}
    assert sum(row.rows for row in training.record.slices if row.slice == "origin") == later.sum()
    card = Page(training.release.files[MODEL_CARD].decode()).words
    first, last = columns["scheduled_departure"][~later][[0, -1]].astype("M8[s]").astype(str)
    span = f"from {first.replace('T', ' ')} UTC to {last.replace('T', ' ')} UTC"
    assert f"All of them are later than the training rows, {span}." in card
    reference = Profile.from_json(training.release.files[REFERENCE_PROFILE])
    assert reference.rows == (~later).sum()


def test_a_split_that_is_not_by_time_is_not_called_later(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    training = train(make_recipe(gates=(), split=Share(0.3)), snapshot, home)
    card = Page(training.release.files[MODEL_CARD].decode()).words
    assert "Not all of them are later than the training rows" in card
    assert "later rows" not in card


def test_the_reference_rows_are_rows_it_was_trained_on(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    reference = train(make_recipe(), snapshot, home).release.json(REFERENCE_ROWS)
    assert len(reference["rows"]) == len(reference["answers"]["late_probability"]) == 100
    assert all(row["scheduled_departure"] < "2013-01-08" for row in reference["rows"])
    assert not any("arrived_late" in row for row in reference["rows"])


def test_its_documents_tell_how_it_came_about(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    training = train(make_recipe(), snapshot, home)
    release, record = training.release, training.record
    assert TrainingRecord.model_validate_json(release.files[TRAINING]) == record
    assert release.files[MODEL_CARD].startswith(b"<!doctype html>")
    assert record.status == "passed"
    assert [gate.gate for gate in record.gates][:2] == [gate.name for gate in make_recipe().gates]
    assert record.seconds.keys() >= {"read", "search", "fit", "compile", "evaluate", "gates"}


def test_documents_are_verified_and_no_part_of_the_digest(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    release = train(make_recipe(), snapshot, home).release
    assert release.manifest.documents.keys() == {DESCRIPTORS, MODEL_CARD, TRAINING}
    assert not release.manifest.documents.keys() & release.identity.files.keys()


def test_the_same_recipe_and_snapshot_give_the_same_release(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    first = train(make_recipe(), snapshot, home)
    other = Home(tmp_path / "other")
    columns = {name: values[::-1] for name, values in make_columns(snapshot.rows_out).items()}
    same, _ = commit_columns(MODEL.contract, columns, other.datasets, raw="elsewhere")
    # In processes this time, as everybody else does.
    again = module.train(make_recipe(), same, other)
    assert again.release.digest == first.release.digest
    assert again.release.identity == first.release.identity


def test_other_rows_give_another_release(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    first = train(make_recipe(), snapshot, home)
    other, _ = commit_columns(MODEL.contract, make_columns(snapshot.rows_out, seed=1), home.datasets)
    assert train(make_recipe(), other, home).release.digest != first.release.digest
    assert train(make_recipe(), snapshot, home).release.digest == first.release.digest


def test_a_failing_gate_stops_the_release_and_why_is_written(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    gates = (
        Floor("roc_auc", at_least=0.999),
        Floor("log_loss", at_most=9),
        BetterThanBaseline("average_precision", by=0.9),
    )
    with pytest.raises(GateError) as caught:
        train(make_recipe(gates=gates), snapshot, home)
    message = str(caught.value)
    assert gates[0].name in message
    assert gates[2].name in message
    assert gates[1].name not in message
    assert _candidates(home) == []
    page = Path(message.rpartition("full report: ")[2])
    assert page.parent == home.reports / MODEL.name
    assert "<title>delays: model card, refused</title>" in page.read_text()
    record = TrainingRecord.model_validate_json(page.with_suffix(".json").read_bytes())
    assert record.status == "refused"
    assert [gate.passed for gate in record.gates] == [False, True, False, True, True]


def test_a_graph_that_is_not_the_pipelines_stops_the_release_though_no_gate_was_declared(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_another(model: Model, pipeline: Any, calibration: Any, doubt: Any) -> bytes:
        pipeline[-1].coef_ = pipeline[-1].coef_ * 1.01
        content = compile_model(model, pipeline, calibration, doubt)
        pipeline[-1].coef_ = pipeline[-1].coef_ / 1.01
        return content

    monkeypatch.setattr(building, "compile_model", compile_another)
    with pytest.raises(GateError, match="parity"):
        train(make_recipe(gates=()), snapshot, home)
    assert _candidates(home) == []


def test_probabilities_are_calibrated_where_that_helps_and_the_release_says_so(
    make_recipe: MakeRecipe, home: Home
) -> None:
    """A pipeline that takes both labels for equally likely is too sure of the rarer one."""
    snapshot, _ = commit_columns(MODEL.contract, make_columns(2_000), home.datasets)
    candidate = make_recipe().candidates[1]
    candidate.pipeline.set_params(logisticregression__class_weight="balanced")
    parts: Mapping[str, Any] = {
        "candidates": (candidate,),
        "split": From(datetime(2013, 2, 15, tzinfo=UTC)),
        "scoring": "roc_auc",
        "folds": 4,
        "gates": (),
    }
    plain = train(make_recipe(**parts, calibrate=False), snapshot, home).release
    calibrated = train(make_recipe(**parts), snapshot, home).release
    assert plain.identity.calibration is None
    assert calibrated.identity.calibration is not None
    assert calibrated.identity.metrics["brier_score"] < plain.identity.metrics["brier_score"] - 0.005
    assert calibrated.identity.metrics["roc_auc"] == pytest.approx(plain.identity.metrics["roc_auc"], abs=1e-3)


def test_what_a_commit_makes_again_takes_the_place_of_what_was_made_from_changes(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never the other way round."""
    made = []
    for is_clean in (False, True, False):
        monkeypatch.setattr(provenance, "describe_tree", lambda is_clean=is_clean: ("0123abcd", is_clean))
        made.append(train(make_recipe(), snapshot, home).release)
    assert [release.manifest.provenance.is_clean for release in made] == [False, True, True]
    assert len({release.digest for release in made}) == 1


def test_the_number_of_trials_and_of_processes_is_recorded(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    options = TrainingOptions(trials=2, jobs=1)
    with joblib.parallel_config(backend="sequential"):
        release = module.train(make_recipe(), snapshot, home, options=options).release
    assert len(json.loads(release.files[TRAINING])["trials"]) == 2
    told = release.manifest.provenance
    assert (told.trials, told.threads, told.engine) == (2, 1, "local")


@pytest.mark.parametrize("column", ["arrived_late", "flight_number"])
def test_features_see_only_columns_that_are_for_features(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, column: str
) -> None:
    """The label above all: serving does not have it, and a model that saw it would pass every gate."""
    leaking = Features(("leak",), (), lambda columns: {"leak": columns[column]})
    model = Model(MODEL.contract, leaking)
    with pytest.raises(ContractError, match=column):
        train(make_recipe(model=model, candidates=(Candidate("dummy", DummyClassifier(), {}),)), snapshot, home)


@pytest.mark.parametrize(
    ("instant", "message"),
    [
        (datetime(2012, 1, 1, tzinfo=UTC), r"the rows to train: there are no rows; choose another split than From\("),
        (datetime(2014, 1, 1, tzinfo=UTC), r"the rows to evaluate: there are no rows; .* at 2014-01-01T00:00:00"),
        (
            datetime(2013, 1, 1, 5, 30, tzinfo=UTC),
            r"the rows to train: all 1 rows have the label .*; both must occur; choose another split",
        ),
    ],
)
def test_a_split_that_leaves_nothing_to_learn_or_to_evaluate_is_refused(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, instant: datetime, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        train(make_recipe(split=From(instant)), snapshot, home)


def test_both_parts_of_a_split_are_named(make_recipe: MakeRecipe, home: Home) -> None:
    snapshot, _ = commit_columns(MODEL.contract, make_columns(3), home.datasets)
    with pytest.raises(DataError, match=r"the rows to train: all 2 .*; the rows to evaluate: all 1 rows"):
        train(make_recipe(split=From(datetime(2013, 1, 1, 6, tzinfo=UTC))), snapshot, home)


def test_a_candidate_that_does_not_compile_is_refused_before_the_search(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    candidates = (*make_recipe().candidates, Candidate("silent", make_pipeline(SVC()), {}))
    for work in (train, tune):
        with pytest.raises(ContractError, match="nothing was searched: candidate 'silent' cannot "):
            work(make_recipe(candidates=candidates), snapshot, home)
    assert not any(home.searches.rglob("*"))


def test_a_snapshot_of_another_contract_is_refused(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    with pytest.raises(DataError, match="was made under contract"):
        train(make_recipe(), replace(snapshot, contract="0" * 64), home)
