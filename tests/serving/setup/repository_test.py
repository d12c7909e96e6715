"""A service starts if it would answer for a model, or waits for the first."""

from pathlib import Path

import pytest
from support.releases import make_release
from support.serving import FIRST, Stage

from athanor.errors import NotFoundError, ReleaseError
from athanor.release.files import GRAPH
from athanor.release.traffic import Served, Traffic
from athanor.serving.setup.repository import prove_models
from athanor.serving.setup.settings import make_settings


def _prove(stage: Stage, *models: str) -> dict[str, bool]:
    """Which models are ready."""
    settings = make_settings(service="front", models=models, store=stage.store.location, folder="/service")
    return {state.name: state.is_ready for state in prove_models(settings)}


def _promote_broken(stage: Stage, folder: Path, model: str) -> None:
    """Promotes a release of a model that cannot be loaded."""
    release = make_release(folder, model=model)
    stage.store.publish(release)
    champion = Served(digest=release.digest, semantic_version="1.0.0")
    stage.store.write_traffic(Traffic(model=model, revision=1, champion=champion))
    Path(stage.store.location, "releases", model, release.digest, GRAPH).write_bytes(b"")


@pytest.mark.parametrize("models", [("*",), ("a*", "d*"), ("delays", "*"), ("delays",)])
def test_a_model_that_can_be_loaded_is_enough(stage: Stage, tmp_path: Path, models: tuple[str, ...]) -> None:
    stage.direct(FIRST)
    _promote_broken(stage, tmp_path, "a")
    assert _prove(stage, *models)["delays"]


def test_why_another_cannot_be_loaded_is_in_its_state(stage: Stage, tmp_path: Path) -> None:
    stage.direct(FIRST)
    _promote_broken(stage, tmp_path, "a")
    assert _prove(stage, "*") == {"a": False, "delays": True}


@pytest.mark.parametrize("pattern", ["*", "t*"])
def test_patterns_that_match_nothing_wait_for_the_first(stage: Stage, pattern: str) -> None:
    assert _prove(stage, pattern) == {}


@pytest.mark.parametrize("models", [("taxi",), ("taxi", "delays"), ("*", "taxi")])
def test_a_model_that_is_given_by_name_must_be_promoted(stage: Stage, models: tuple[str, ...]) -> None:
    stage.direct(FIRST)
    with pytest.raises(NotFoundError, match="no release of taxi takes traffic"):
        _prove(stage, *models)


def test_a_model_that_was_withdrawn_is_like_one_that_was_never_promoted(stage: Stage) -> None:
    stage.store.write_traffic(Traffic(model="taxi", revision=2, champion=None))
    assert _prove(stage, "*") == {}
    with pytest.raises(NotFoundError, match="no release of taxi takes traffic: its champion was withdrawn"):
        _prove(stage, "taxi")


def test_a_model_that_is_not_chosen_is_not_looked_at(stage: Stage, tmp_path: Path) -> None:
    _promote_broken(stage, tmp_path, "rain")
    assert _prove(stage, "t*") == {}


def test_why_the_only_model_cannot_be_loaded_is_reported(stage: Stage, tmp_path: Path) -> None:
    _promote_broken(stage, tmp_path, "taxi")
    with pytest.raises(ReleaseError, match=f"^(?!taxi:).*{GRAPH}"):
        _prove(stage, "*")


def test_why_none_of_several_can_be_loaded_is_reported_for_each(stage: Stage, tmp_path: Path) -> None:
    for model in ("rain", "taxi"):
        _promote_broken(stage, tmp_path, model)
    with pytest.raises(ReleaseError, match=r"^none of 2 models can be loaded: rain: .*; taxi: .*"):
        _prove(stage, "*")
