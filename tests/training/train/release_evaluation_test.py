"""A release is evaluated by its own contract on rows of today's, and on none that it has seen."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from support.flights import make_columns
from support.pipelines import MakeRecipe
from support.wires import add_column, make_release_of, widen

from athanor.data.snapshots.snapshot import Snapshot
from athanor.errors import DataError, ReleaseError
from athanor.home import Home
from athanor.release.manifest import Refit, SplitResult
from athanor.training.recipe import Recipe
from athanor.training.splits import From, Share
from athanor.training.train.release_evaluation import ReleaseEvaluation, evaluate_release
from projects.delays.model import MODEL

_SPLIT: Final = SplitResult(kind="from", boundary="2013-01-08T00:00:00.000000Z", rows_trained=265, rows_evaluated=135)


def test_a_release_of_another_wire_is_evaluated(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    release = make_release_of(tmp_path / "release", widen(9_000), middle=2_000, split=_SPLIT)
    found = evaluate_release(make_recipe(), release, snapshot, home)
    assert (found.digest, found.snapshot) == (release.digest, snapshot.digest)
    assert 0 < found.metrics["roc_auc"].value < 1


def test_a_release_that_needs_a_column_more_is_refused(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    release = make_release_of(tmp_path / "release", add_column("gate"), middle=2_000)
    with pytest.raises(ReleaseError, match="needs columns that the contract does not have any more: gate; evaluate it"):
        evaluate_release(make_recipe(), release, snapshot, home)


def _evaluate(recipe: Recipe, on: Snapshot, home: Home, folder: Path, **identity: Any) -> ReleaseEvaluation:
    release = make_release_of(folder, MODEL.contract, middle=2_000, **identity)
    return evaluate_release(recipe, release, on, home)


def test_rows_that_a_release_was_trained_on_do_not_count(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    """The recipe by now holds out more than it did."""
    recipe = make_recipe(split=From(datetime(2013, 1, 4, tzinfo=UTC)))
    whole = recipe.divide(make_columns(snapshot.rows_out)).result.rows_evaluated
    assert _evaluate(recipe, snapshot, home, tmp_path, split=_SPLIT).rows == 135 < whole


def test_rows_of_a_refit_do_not_count(make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path) -> None:
    refit = Refit(rows=300, last_event="2013-01-10T00:00:00.000000Z", evaluated="0" * 64)
    later = make_columns(snapshot.rows_out)["scheduled_departure"] > np.datetime64("2013-01-10", "us")
    found = _evaluate(make_recipe(), snapshot, home, tmp_path / "some", split=_SPLIT, refit=refit)
    assert found.rows == later.sum()
    whole = refit.model_copy(update={"last_event": snapshot.last_event})
    with pytest.raises(DataError, match=r"fitted again on all rows until 2013-01-11.*; use a newer snapshot"):
        _evaluate(make_recipe(), snapshot, home, tmp_path / "all", split=_SPLIT, refit=whole)


def test_after_a_random_split_only_its_own_snapshot_tells_which_rows_it_has_not_seen(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    recipe = make_recipe(split=Share(0.2))
    split = recipe.divide(make_columns(snapshot.rows_out)).result
    found = _evaluate(recipe, snapshot, home, tmp_path / "own", split=split, snapshot=snapshot.digest)
    assert found.rows == split.rows_evaluated
    with pytest.raises(DataError, match="fitted on random rows of snapshot 555555555555"):
        _evaluate(recipe, snapshot, home, tmp_path / "other", split=split)


@pytest.mark.parametrize("now", [Share(0.2, seed=1), Share(0.3)], ids=str)
def test_another_random_split_would_hold_out_rows_that_the_release_has_seen(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path, now: Share
) -> None:
    split = make_recipe(split=Share(0.2)).divide(make_columns(snapshot.rows_out)).result
    with pytest.raises(DataError, match=r"it is unknown which rows of \w+ it has seen by the split Share"):
        _evaluate(make_recipe(split=now), snapshot, home, tmp_path, split=split, snapshot=snapshot.digest)
