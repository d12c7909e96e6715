"""A home with a release to serve, for a run that is given none."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from athanor.data.building.snapshot_build import build_snapshot
from athanor.home import Home
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from athanor.training.train.release_build import TrainingOptions
from athanor.training.train.train import train
from projects.flight_delay.recipe import RECIPE

# Enough for the winning algorithm; more would change its parameters, and the speed of its graph by little.
_TRIALS: Final = 2


def make_home(folder: Path) -> Home:
    """Builds the dataset, trains, and publishes the release as champion. Needs no registry: serving reads the store."""
    home, name = Home(folder), RECIPE.model.name
    snapshot = build_snapshot(RECIPE.model.contract, RECIPE.dataset, home).snapshot
    release = train(RECIPE, snapshot, home, options=TrainingOptions(trials=_TRIALS)).release
    store = ReleaseStore(home.store)
    store.publish(release)
    champion = Served(digest=release.digest, semantic_version="1.0.0")
    store.write_traffic(Traffic(model=name, revision=1, champion=champion))
    return home
