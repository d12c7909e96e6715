"""Each proto package is a model with versions of its own, and no release breaks its callers or stored rows."""

from pathlib import Path
from typing import Any, Final

import pytest
from support.registries import MODEL, Workspace
from support.wires import make_release_of, next_major, repackage, widen

from athanor.contract.contract import Contract
from athanor.errors import ContractError, GateError, NotFoundError, ReleaseError
from athanor.registry.care.doctor import examine
from athanor.registry.registry import Registry
from athanor.release.files import Release
from athanor.release.store import ReleaseStore
from projects.delays.model import MODEL as DELAYS

_NEXT: Final = "delays.v2"
_WHY: Final = "to see"


def _release(folder: Path, contract: Contract = DELAYS.contract, **changed: Any) -> Release:
    return make_release_of(folder, contract, **changed)


def _register(registry: Registry, release: Release) -> str:
    version, is_new = registry.register(release)
    assert is_new
    return version.semantic_version


def _list(registry: Registry, model: str) -> list[str]:
    return [version.semantic_version for version in registry.list_versions(model)]


def test_a_breaking_release_is_refused_and_leaves_nothing(
    registry: Registry, store: ReleaseStore, tmp_path: Path
) -> None:
    narrow = widen(5_000)
    assert _register(registry, _release(tmp_path)) == "1.0.0"
    narrowed = _release(tmp_path, narrow)
    with pytest.raises(GateError, match=r"rows of delays 1\.0\.0, .*\n  - column distance changed .* widen it\n"):
        registry.register(narrowed)
    assert _list(registry, MODEL) == ["1.0.0"]
    assert narrowed.digest not in store.list_digests(MODEL)
    assert _register(registry, _release(tmp_path, next_major(narrow))) == "2.0.0"


def test_a_release_must_keep_what_the_newest_one_allows(registry: Registry, tmp_path: Path) -> None:
    """Any version can become champion, and callers may rely on what it allowed."""
    for maximum, version in ((6_000, "1.0.0"), (7_000, "1.1.0")):
        assert _register(registry, _release(tmp_path, widen(maximum))) == version
    registry.promote(MODEL, "1.0.0", "the older one")
    with pytest.raises(GateError, match=r"breaks callers or stored rows of delays 1\.1\.0"):
        registry.register(_release(tmp_path, widen(6_500)))


def test_each_package_has_versions_of_its_own(registry: Registry, tmp_path: Path) -> None:
    contracts = (DELAYS.contract, next_major()) * 2
    numbers = [_register(registry, _release(tmp_path, contract, seed=seed)) for seed, contract in enumerate(contracts)]
    assert numbers == ["1.0.0", "2.0.0", "1.0.1", "2.0.1"]
    assert (_list(registry, MODEL), _list(registry, _NEXT)) == (["1.0.1", "1.0.0"], ["2.0.1", "2.0.0"])


def test_a_registered_release_is_never_refused_later(registry: Registry, workspace: Workspace, tmp_path: Path) -> None:
    first = _release(tmp_path)
    _register(registry, first)
    _register(registry, _release(tmp_path, widen(7_000)))
    version, is_new = registry.register(first)
    assert (version.semantic_version, is_new) == ("1.0.0", False)
    number = str(version.number)
    registry.client.delete_model_version(MODEL, number)
    assert workspace.open().register(first)[0].semantic_version == "1.0.0"


@pytest.mark.parametrize("package", ["delays", "delays.v1beta1"])
def test_a_package_without_a_number_is_refused(registry: Registry, tmp_path: Path, package: str) -> None:
    with pytest.raises(ContractError, match=f"proto package '{package}' has no major version"):
        registry.register(_release(tmp_path, repackage(package)))
    assert registry.list_models() == []


def test_a_release_of_another_model_than_its_package_makes_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"is of the model delays, and its proto package delays\.v2 makes"):
        registry.register(_release(tmp_path, next_major(), model=MODEL))
    assert registry.list_models() == []


def test_two_majors_have_traffic_of_their_own(registry: Registry, workspace: Workspace, tmp_path: Path) -> None:
    candidates = workspace.home.candidates
    for seed in range(3):
        for contract in (DELAYS.contract, next_major()):
            _register(registry, _release(candidates / contract.name, contract, seed=seed))
    registry.promote(MODEL, "1.0.0", _WHY)
    registry.promote(_NEXT, "2.0.1", _WHY)
    registry.promote(_NEXT, "2.0.2", _WHY)
    registry.challenge(MODEL, "1.0.1", 0.25, _WHY)
    registry.pin(_NEXT, "2.0.0", _WHY)
    registry.rollback(_NEXT, _WHY)
    old, new = (registry.store.read_traffic(model) for model in (MODEL, _NEXT))
    assert (old.require_champion().semantic_version, old.weights, old.pinned) == (
        "1.0.0",
        {"champion": 0.75, "challenger": 0.25},
        (),
    )
    assert (new.require_champion().semantic_version, new.weights) == ("2.0.1", {"champion": 1.0})
    assert [served.semantic_version for served in new.pinned] == ["2.0.0"]
    with pytest.raises(
        NotFoundError, match=r"delays has no version 2\.0\.2; registered are: 1\.0\.2, 1\.0\.1, 1\.0\.0"
    ):
        registry.challenge(MODEL, "2.0.2", 0.5, _WHY)
    assert examine(registry, candidates) == []
