"""A release is evaluated by its own contract on rows of today's."""

from pathlib import Path

import pytest
from support.pipelines import MakeRecipe
from support.wires import add_column, make_release_of, widen

from athanor.data.snapshots.snapshot import Snapshot
from athanor.errors import ReleaseError
from athanor.home import Home
from athanor.training.train.release_evaluation import evaluate_release


def test_a_release_of_another_wire_is_evaluated(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    release = make_release_of(tmp_path / "release", widen(9_000), middle=2_000)
    found = evaluate_release(make_recipe(), release, snapshot, home)
    assert (found.digest, found.snapshot) == (release.digest, snapshot.digest)
    assert 0 < found.metrics["roc_auc"].value < 1


def test_a_release_that_needs_a_column_more_is_refused(
    make_recipe: MakeRecipe, snapshot: Snapshot, home: Home, tmp_path: Path
) -> None:
    release = make_release_of(tmp_path / "release", add_column("gate"), middle=2_000)
    with pytest.raises(ReleaseError, match="needs columns that the contract does not have any more: gate; evaluate it"):
        evaluate_release(make_recipe(), release, snapshot, home)
