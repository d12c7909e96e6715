"""Fits of a search are kept for the training that follows, as long as the code that they came from stays the same."""

import os
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import joblib
import pytest
from support.pipelines import MakeRecipe

from athanor.data.snapshots.snapshot import Snapshot
from athanor.home import Home
from athanor.system.code.imported_code import follow_imports
from athanor.training.train import release_build
from athanor.training.train.train import train, tune


@pytest.fixture(autouse=True)
def _in_this_process() -> Iterator[None]:
    """Starting others takes seconds."""
    with joblib.parallel_config(backend="sequential"):
        yield


def test_a_search_leaves_what_it_found_to_the_training_that_follows(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    record = tune(make_recipe(), snapshot, home)
    kept = list(home.searches.rglob("*.npz"))
    assert record.status == "tuned"
    assert len(kept) == 2 * len(record.trials)
    training = train(make_recipe(), snapshot, home)
    # Even its times: nothing was fitted again.
    assert training.record.trials == record.trials
    assert train(make_recipe(), snapshot, home).record.trials == record.trials


def test_caches_of_searches_that_were_not_used_for_a_day_are_removed(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home
) -> None:
    recipe = make_recipe()
    caches = {age: home.searches / recipe.model.name / f"{age} hours old" for age in (23, 25)}
    for age, cache in caches.items():
        cache.mkdir(parents=True)
        (cache / "fit.npz").touch()
        os.utime(cache, times=(time.time() - age * 3600,) * 2)
    train(recipe, snapshot, home)
    assert [cache.exists() for cache in caches.values()] == [True, False]
    assert len(list(home.searches.rglob("*.npz"))) > 1


def test_fits_are_kept_for_the_same_code_alone(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code is the recipe's, and the modules that it imports."""
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "code" / "plum").mkdir(parents=True)
    helper, other = (tmp_path / "code" / "plum" / f"{name}.py" for name in ("helper", "other"))
    (helper.parent / "declaring.py").write_text("def make():\n    from plum.helper import DEPTH\n")
    helper.write_text("DEPTH = 3\n")
    recipe = make_recipe(declared_in=import_module("plum.declaring").__name__)

    def count() -> int:
        tune(recipe, snapshot, home)
        return len({path.parent for path in home.searches.rglob("*.npz")})

    assert count() == 1
    times = {path: path.stat().st_mtime_ns for path in home.searches.rglob("*.npz")}
    helper.write_text("DEPTH = 3  # levels\n")
    other.write_text("UNRELATED = 1\n")
    assert count() == 1
    assert times == {path: path.stat().st_mtime_ns for path in home.searches.rglob("*.npz")}
    helper.write_text("DEPTH = 4\n")
    assert count() == 2


def test_they_depend_on_trainings_own_code_and_not_on_other_layers() -> None:
    modules, libraries = follow_imports([release_build.__name__])
    assert {release_build.__name__, "athanor.training.search.trial", "athanor.features.features"} <= modules.keys()
    assert {"sklearn", "numpy", "skl2onnx"} <= libraries
    layers = {name.split(".")[1] for name in modules if "." in name}
    assert layers.isdisjoint({"serving", "cli", "registry", "client", "monitoring", "pages"})
