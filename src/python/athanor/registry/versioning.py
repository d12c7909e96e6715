"""Semantic versions: how a release differs from the one before it."""

from typing import Final

from athanor.contract.evolution.packages import major_of, package_of
from athanor.release.files import CONTRACT, Release

_MINOR: Final = ("contract", "features", "recipe", "algorithm")


def read_major(release: Release) -> int:
    """The major version of a release: the number of its proto package. Raises ContractError if it has none."""
    return major_of(package_of(release.json(CONTRACT)))


def next_version(version: str, before: Release, release: Release) -> str:
    """The semantic version of a release after the one registered last.

    Major is the number of the proto package and stays; minor increases when contract, features, recipe or algorithm
    changed; patch when the same recipe was trained on new data.

    Args:
        version: the highest of the model.
        before: the newest release of the model.
    """
    major, minor, patch = map(int, version.split("."))
    if any(getattr(before.identity, part) != getattr(release.identity, part) for part in _MINOR):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"
