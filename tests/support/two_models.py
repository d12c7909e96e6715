"""Two models in one store: the usual one, and the next major of its proto package."""

from pathlib import Path
from typing import Final

from support.releases import make_release
from support.wires import make_release_of, next_major

from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic
from projects.delays.model import MODEL

VERSION: Final = "1.2.3"
OTHER: Final = "delays.v2"
OTHER_VERSION: Final = "2.0.0"


def promote_usual(store: ReleaseStore, folder: Path) -> Traffic:
    """Promotes a release of the usual model, made below a folder."""
    return _promote(store, MODEL.name, make_release(folder / MODEL.name), VERSION)


def promote_other(store: ReleaseStore, folder: Path) -> Traffic:
    """Promotes a release of the other model, made below a folder."""
    return _promote(store, OTHER, make_release_of(folder / OTHER, next_major()), OTHER_VERSION)


def promote_missing(store: ReleaseStore) -> None:
    """Promotes a release of the other model that the store does not have."""
    served = Served(digest=64 * "0", semantic_version=OTHER_VERSION)
    store.write_traffic(Traffic(model=OTHER, revision=1, champion=served))


def _promote(store: ReleaseStore, model: str, release: Release, version: str) -> Traffic:
    store.publish(release)
    traffic = Traffic(model=model, revision=1, champion=Served(digest=release.digest, semantic_version=version))
    store.write_traffic(traffic)
    return traffic
