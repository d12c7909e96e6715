"""Proto packages are majors: each has its own versions, and none breaks its callers or stored rows."""

import json
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace
from support.releases import make_files, make_release

from athanor.errors import ContractError, GateError, InputError
from athanor.registry.registry import Registry
from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from projects.delays.model import MODEL as DELAYS

_PACKAGE: Final = "delays.v1"


def _release(folder: Path, package: str = _PACKAGE, maximum: float = 6_000, seed: int = 0) -> Release:
    """A release of a contract whose column `distance` goes up to a maximum."""
    wire = json.loads(json.dumps(DELAYS.contract.wire).replace(_PACKAGE, package))
    wire["row_columns"]["distance"]["maximum"] = maximum
    files = make_files(contract=json.dumps(wire).encode())
    return make_release(folder, files, contract=f"{int(maximum):064x}", seed=seed)


def _register(registry: Registry, release: Release) -> str:
    version, is_new = registry.register(release)
    assert is_new
    return version.semantic_version


def test_a_breaking_release_is_refused_and_leaves_nothing(
    registry: Registry, store: ReleaseStore, tmp_path: Path
) -> None:
    assert _register(registry, _release(tmp_path)) == "1.0.0"
    narrowed = _release(tmp_path, maximum=5_000)
    with pytest.raises(GateError, match=r"rows of delays 1\.0\.0, .*\n  - column distance changed .* widen it\n"):
        registry.register(narrowed)
    assert [version.semantic_version for version in registry.list_versions(MODEL)] == ["1.0.0"]
    assert narrowed.digest not in store.list_digests(MODEL)
    assert _register(registry, _release(tmp_path, "delays.v2", maximum=5_000)) == "2.0.0"


def test_a_release_must_keep_what_the_newest_one_allows(registry: Registry, tmp_path: Path) -> None:
    """Any version can become champion, and callers may rely on what it allowed."""
    for maximum, version in ((6_000, "1.0.0"), (7_000, "1.1.0")):
        assert _register(registry, _release(tmp_path, maximum=maximum)) == version
    registry.promote(MODEL, "1.0.0", "the older one")
    with pytest.raises(GateError, match=r"breaks callers or stored rows of delays 1\.1\.0"):
        registry.register(_release(tmp_path, maximum=6_500))


def test_each_package_has_versions_of_its_own(registry: Registry, tmp_path: Path) -> None:
    numbers = [
        _register(registry, _release(tmp_path, package, seed=seed))
        for seed, package in enumerate(("delays.v1", "delays.v2", "delays.v1", "delays.v2"))
    ]
    assert numbers == ["1.0.0", "2.0.0", "1.0.1", "2.0.1"]
    listed = [version.semantic_version for version in registry.list_versions(MODEL)]
    assert listed == ["2.0.1", "2.0.0", "1.0.1", "1.0.0"]


def test_a_registered_release_is_never_refused_later(registry: Registry, workspace: Workspace, tmp_path: Path) -> None:
    first = _release(tmp_path)
    _register(registry, first)
    _register(registry, _release(tmp_path, maximum=7_000))
    version, is_new = registry.register(first)
    assert (version.semantic_version, is_new) == ("1.0.0", False)
    number = str(version.number)
    registry.client.delete_model_version(MODEL, number)
    assert workspace.open().register(first)[0].semantic_version == "1.0.0"


@pytest.mark.parametrize("package", ["delays", "delays.v1beta1"])
def test_a_package_without_a_number_is_refused(registry: Registry, tmp_path: Path, package: str) -> None:
    with pytest.raises(ContractError, match=f"proto package '{package}' has no major version"):
        registry.register(_release(tmp_path, package))
    assert registry.list_versions(MODEL) == []


def test_no_version_of_another_package_stands_beside_the_champion(registry: Registry, tmp_path: Path) -> None:
    for seed, package in enumerate(("delays.v1", "delays.v1", "delays.v2")):
        _register(registry, _release(tmp_path, package, seed=seed))
    registry.promote(MODEL, "1.0.1", "the newest")
    expected = "2.0.0 of delays has the proto package delays.v2, and the champion 1.0.1 has delays.v1; "
    with pytest.raises(InputError, match=f"{expected}pin a version of delays.v1"):
        registry.pin(MODEL, "2.0.0", "to see")
    with pytest.raises(InputError, match=f"{expected}challenge a version of"):
        registry.challenge(MODEL, "2.0.0", 0.5, "to see")
    with pytest.raises(InputError, match=f"{expected}shadow a version of"):
        registry.shadow(MODEL, "2.0.0", "to see")
    assert [served.semantic_version for served in registry.pin(MODEL, "1.0.0", "to see").pinned] == ["1.0.0"]
