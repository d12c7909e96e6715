"""Semantic versions: how a release differs from the one before it."""

from typing import Final

from athanor.contract.compatibility import Level, compare
from athanor.release.files import CONTRACT, Release

FIRST: Final = "1.0.0"
_MINOR: Final = ("contract", "features", "recipe", "algorithm")


def next_version(latest: tuple[str, Release] | None, release: Release) -> str:
    """The semantic version of a release.

    Major increases when the contract changed incompatibly; minor when contract, features, recipe or algorithm changed;
    patch when the same recipe was trained on new data.

    Args:
        latest: version and release registered last; None for the first release.
    """
    if latest is None:
        return FIRST
    version, before = latest
    major, minor, patch = map(int, version.split("."))
    changes = compare(before.json(CONTRACT), release.json(CONTRACT))
    if any(change.level is Level.BREAKING for change in changes):
        return f"{major + 1}.0.0"
    if any(getattr(before.identity, part) != getattr(release.identity, part) for part in _MINOR):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"
