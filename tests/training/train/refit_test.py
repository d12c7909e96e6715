"""The refit: the winner fitted again on all rows, judged by its nearness to the evaluated model, and rebuilt equal."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from support.reports import Page
from support.snapshots import commit_columns
from support.tables import TASKS, make_model, make_recipe_of, make_table

from athanor.data.profiles.profile import Profile
from athanor.errors import GateError
from athanor.features.features import Model
from athanor.home import Home
from athanor.release.files import EVALUATED_GRAPH, GRAPH, MODEL_CARD, REFERENCE_PROFILE, REFERENCE_ROWS
from athanor.release.predictor import Predictor
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.training.gates.metrics import NotWorseThanChampion
from athanor.training.gates.refit import NearEvaluated
from athanor.training.recipe import Recipe
from athanor.training.search.search import fit
from athanor.training.splits import Latest, Share
from athanor.training.train import release_build
from athanor.training.train.train import Training, train
from athanor.training.train.verification import verify

_ROWS = 200
_WORDS = ", after the refit"


@pytest.fixture(autouse=True)
def _in_this_process() -> Any:
    with joblib.parallel_config(backend="sequential"):
        yield


def _train(model: Model, home: Home, **given: Any) -> tuple[Recipe, Training]:
    recipe = make_recipe_of(model, trials=2, **given)
    snapshot, _ = commit_columns(model.contract, make_table(model.contract, _ROWS), home.datasets)
    return recipe, train(recipe, snapshot, home)


@pytest.mark.parametrize("task", TASKS)
def test_the_winner_is_fitted_again_on_all_rows_and_rebuilt_to_the_bit(task: str, home: Home) -> None:
    recipe, training = _train(make_model(task, with_doubt=True), home)
    identity, record = training.release.identity, training.record
    assert identity.refit is not None
    assert (identity.refit.rows, identity.refit.last_event) == (_ROWS, "2024-01-09T07:00:00.000000Z")
    assert identity.refit.evaluated != identity.files[GRAPH]
    assert identity.split.rows_trained + identity.split.rows_evaluated == _ROWS
    assert record.rows_trained == identity.split.rows_trained
    assert identity.doubt is not None
    names = [gate.gate for gate in record.gates]
    assert f"answers near the evaluated model's{_WORDS}" in names
    assert f"parity of graph and pipeline{_WORDS}" in names
    assert Profile.from_json(training.release.files[REFERENCE_PROFILE]).rows == _ROWS
    labels = recipe.task.encode(make_table(recipe.model.contract, _ROWS)[recipe.model.contract.label.name])
    scale = np.abs(labels - np.median(labels)).max() if task in {"number", "count"} else 1.0
    assert training.release.json(REFERENCE_ROWS)["tolerance"] == pytest.approx(1e-6 * scale)
    found = verify(recipe, training.release, home)
    assert (found.is_same, found.largest_difference) == (True, 0)


def test_its_metrics_are_the_evaluated_models_and_its_answers_are_not(home: Home, tmp_path: Path) -> None:
    model = make_model("number")
    _, refitted = _train(model, home)
    _, evaluated = _train(model, Home(tmp_path / "other"), refit=False)
    assert evaluated.release.identity.refit is None
    assert refitted.release.identity.metrics == evaluated.release.identity.metrics
    assert refitted.release.identity.refit is not None
    assert refitted.release.identity.refit.evaluated == evaluated.release.identity.files[GRAPH]
    columns = make_table(model.contract, 50, seed=1)
    values = [Predictor(each.release).predict(columns)["value"] for each in (refitted, evaluated)]
    assert 0 < np.abs(values[0] - values[1]).mean() < 0.5
    last = refitted.release.json(REFERENCE_ROWS)["rows"][-1]
    assert last["at"] == "2024-01-09T07:00:00Z"


def test_a_champion_is_judged_by_the_model_that_had_not_seen_the_rows(home: Home) -> None:
    """Trained again on the same rows nothing is lost, though the champion's last fit knows their outcomes."""
    gates = (NotWorseThanChampion("mae", margin=0.0),)
    recipe, first = _train(make_model("number"), home, gates=gates)
    store = ReleaseStore(home.store)
    store.publish(first.release)
    champion = Served(digest=first.release.digest, semantic_version="1.0.0")
    store.write_traffic(Traffic(model=recipe.model.name, revision=1, champion=champion))
    _, second = _train(make_model("number"), home, gates=gates)
    (gate,) = (gate for gate in second.record.gates if gate.gate == "mae not worse than champion")
    assert gate.explanation.startswith("the gain of mae over champion 1.0.0")
    assert gate.value == 0
    assert second.release.digest == first.release.digest
    identity = first.release.identity
    assert identity.refit is not None
    assert identity.files[EVALUATED_GRAPH] == identity.refit.evaluated != identity.files[GRAPH]


def test_the_card_tells_both(home: Home) -> None:
    _, training = _train(make_model("binary"), home)
    card = Page(training.release.files[MODEL_CARD].decode()).words
    assert (
        "These are metrics of the evaluated model. After its gates the same pipeline was fitted again on all 200"
        in card
    )


@pytest.mark.parametrize(("split", "refits"), [(Latest("2d"), True), (Share(0.2), False)])
def test_by_default_a_split_by_age_refits(split: Any, refits: bool) -> None:
    assert make_recipe_of(make_model("binary"), split=split).refit is refits


def test_a_refit_far_from_the_evaluated_model_makes_no_release(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit_wrongly(who: str, pipeline: Any, parameters: Any, rows: Any) -> Any:
        if len(rows) == _ROWS:
            rows = rows.take(np.argsort(rows.labels))
            rows.frame["amount"] = 9 - rows.frame["amount"]
        return fit(who, pipeline, parameters, rows)

    monkeypatch.setattr(release_build, "fit", fit_wrongly)
    with pytest.raises(GateError, match=rf"answers near the evaluated model's{_WORDS}: over 40 held-out rows"):
        _train(make_model("number"), home)
    assert not home.candidates.exists()


def test_the_bound_of_a_recipe_counts(home: Home) -> None:
    recipe = make_recipe_of(make_model("number"))
    gates = (*recipe.gates, NearEvaluated(at_most=0.5))
    _, training = _train(make_model("number"), home, gates=gates)
    names = [gate.gate for gate in training.record.gates]
    assert names.count(f"answers near the evaluated model's{_WORDS}") == 1
    assert "answers near the evaluated model's" not in names


def test_what_its_gates_refuse_is_not_fitted_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_build, "refit_release", None)
    model = make_model("number")
    recipe = make_recipe_of(model)
    with pytest.raises(GateError, match="better than baseline"):
        _train(model, home, baseline=recipe.candidates[0].pipeline)
