"""Semantic versions: how a release differs from the one before it."""

from typing import Final

from athanor.contract.evolution.compatibility import compare, describe_breaking, list_breaking
from athanor.contract.evolution.packages import major_of, next_package, package_of
from athanor.errors import GateError
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


def require_compatible(version: str, before: Release, release: Release) -> None:
    """Raises GateError if a release breaks callers or stored rows of an earlier one of its model.

    Args:
        version: of the earlier one.
    """
    changes = compare(before.json(CONTRACT), release.json(CONTRACT))
    if breaking := list_breaking(changes):
        package = package_of(release.json(CONTRACT))
        raise GateError(
            f"release {release.digest[:12]} breaks callers or stored rows of {release.identity.model} {version}, which "
            f"has the same proto package {package}, by {len(breaking)} change{'s' if breaking[1:] else ''}:\n"
            f"{describe_breaking(changes)}\n"
            f"Follow each remedy and train again, or declare the contract as {next_package(package)}"
        )
