"""Makes the home that the slow tests share: a snapshot of generated flights, and a release that takes traffic."""

import sys
from pathlib import Path

from athanor.data.building.snapshot_build import build_snapshot
from athanor.home import Home
from athanor.registry.registry import Registry
from athanor.training.train.train import train
from projects.delays.recipe import RECIPE


def prepare(home: Home) -> None:
    snapshot = build_snapshot(RECIPE.model.contract, RECIPE.dataset, home).snapshot
    registry = Registry.open(home)
    # A sandbox is no repository.
    version, _ = registry.register(train(RECIPE, snapshot, home).release, allow_dirty=True)
    registry.promote(RECIPE.model.name, version.semantic_version, "for tests")


if __name__ == "__main__":
    prepare(Home.find(Path(sys.argv[1])))
