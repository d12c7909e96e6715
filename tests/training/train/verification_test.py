"""A release made again from its manifest: the same, or what differs is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pytest
from support.flights import make_columns
from support.pipelines import MakeRecipe
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import Snapshot
from athanor.errors import DataError, NotFoundError
from athanor.home import Home
from athanor.release.files import GRAPH, Release
from athanor.release.manifest import Manifest
from athanor.training.candidates import Candidate
from athanor.training.recipe import Recipe
from athanor.training.train import verification as module
from athanor.training.train.release_build import TrainingOptions, build_release
from athanor.training.train.train import train
from athanor.training.train.verification import Verification
from projects.delays.model import MODEL


def verify(recipe: Recipe, release: Release, home: Home) -> Verification:
    """In this process: starting others takes seconds."""
    with joblib.parallel_config(backend="sequential"):
        return module.verify(recipe, release, home)


@pytest.fixture
def release(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> Release:
    with joblib.parallel_config(backend="sequential"):
        return train(make_recipe(), snapshot, home).release


def _with_manifest(release: Release, identity: Any = None, provenance: Any = None) -> Release:
    """With a changed manifest."""
    manifest = release.manifest
    sealed = Manifest.seal(
        manifest.identity.model_copy(update=identity or {}),
        manifest.provenance.model_copy(update=provenance or {}),
        manifest.documents,
        manifest.sizes,
    )
    return replace(release, manifest=sealed)


def test_a_release_made_again_is_the_same(make_recipe: MakeRecipe, release: Release, home: Home) -> None:
    found = verify(make_recipe(), release, home)
    assert found.is_same
    assert found.digest == found.digest_now == release.digest
    assert found.causes == ()
    assert found.largest_difference == 0
    assert all(part.is_same for part in found.parts)


def test_it_is_made_from_its_own_snapshot_though_there_is_a_later_one(
    make_recipe: MakeRecipe, release: Release, home: Home
) -> None:
    commit_columns(MODEL.contract, make_columns(500, seed=1), home.datasets)
    assert verify(make_recipe(), release, home).is_same


def test_as_many_trials_are_made_as_it_had(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home) -> None:
    """The only one that this seed draws is not the best of all."""
    recipe = make_recipe(gates=(), seed=1)
    with joblib.parallel_config(backend="sequential"):
        one = train(recipe, snapshot, home, options=TrainingOptions(trials=1)).release
        best = train(recipe, snapshot, home).release
    assert one.identity.algorithm != best.identity.algorithm
    assert verify(recipe, one, home).is_same
    assert verify(recipe, best, home).is_same


def test_fits_cached_by_an_earlier_search_are_not_used(
    make_recipe: MakeRecipe, release: Release, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def listen(*arguments: Any) -> Any:
        asked.append(arguments[-1].search_folder)
        return build_release(*arguments)

    monkeypatch.setattr(module, "build_release", listen)
    verify(make_recipe(), release, home)
    assert asked[0] is not None
    assert home.path not in asked[0].parents


def test_another_recipe_is_named_as_code(make_recipe: MakeRecipe, release: Release, home: Home) -> None:
    said = _with_manifest(release, identity={"recipe": "0" * 64})
    found = verify(make_recipe(), said, home)
    assert not found.is_same
    assert found.causes == ("code",)
    assert [part.name for part in found.parts if not part.is_same] == ["recipe"]


def test_another_lock_is_named(make_recipe: MakeRecipe, release: Release, home: Home) -> None:
    said = _with_manifest(
        release, identity={"files": {**release.identity.files, GRAPH: "0" * 64}}, provenance={"lock": "0" * 64}
    )
    assert verify(make_recipe(), said, home).causes == ("lock",)


def test_other_parameters_are_named_and_how_far_the_answers_are(
    make_recipe: MakeRecipe, release: Release, home: Home
) -> None:
    candidate = make_recipe().candidates[1]
    other = Candidate("distance", candidate.pipeline, {"logisticregression__C": (0.01,)})
    found = verify(make_recipe(candidates=(other,)), release, home)
    assert found.causes == ("parameters",)
    assert found.largest_difference > 0.001


def test_where_only_numbers_differ_numerics_are_named(make_recipe: MakeRecipe, release: Release, home: Home) -> None:
    """As on another processor."""
    said = _with_manifest(release, identity={"files": {**release.identity.files, GRAPH: "0" * 64}})
    found = verify(make_recipe(), said, home)
    assert not found.is_same
    assert found.causes == ("numerics",)
    assert found.largest_difference == 0


def test_a_snapshot_that_is_not_here_is_named_with_how_to_make_it(
    make_recipe: MakeRecipe, release: Release, tmp_path: Path
) -> None:
    other = Home(tmp_path / "other")
    commit_columns(MODEL.contract, make_columns(100), other.datasets)
    with pytest.raises(NotFoundError, match=r"has no snapshot [0-9a-f]{12}.*`athanor data build delays`"):
        verify(make_recipe(), release, other)


def test_a_snapshot_that_was_altered_is_refused(
    make_recipe: MakeRecipe, snapshot: Snapshot, release: Release, home: Home, tmp_path: Path
) -> None:
    """The file of another snapshot, put in its place."""
    elsewhere = tmp_path / "elsewhere"
    commit_columns(MODEL.contract, make_columns(snapshot.rows_out, seed=1), elsewhere)
    (altered,) = (home.datasets / MODEL.name).glob("*.parquet")
    (other,) = (elsewhere / MODEL.name).glob("*.parquet")
    altered.write_bytes(other.read_bytes())
    with pytest.raises(DataError):
        verify(make_recipe(), release, home)
