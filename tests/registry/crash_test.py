"""Processes killed while they change a registry: either all agrees, or the doctor names and mends the difference."""

from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from support.killed import NEVER, run_until, spread
from support.registries import MODEL, Workspace, change

from athanor.home import Home
from athanor.registry.care.doctor import examine
from athanor.registry.care.findings import Finding
from athanor.registry.registry import Registry
from athanor.registry.settings import RegistrySettings
from athanor.release.files import read_release

_KILLS: Final = 16
_KILLS_OF_TRAFFIC: Final = 8
_KILLS_OF_DATABASE: Final = 4
_WHY: Final = "to see"


def _run_until(step: int, home: Home, what: str, argument: Any) -> int:
    """Changes a registry in a process that is killed before a step; returns the number of steps that it reached."""
    reached = run_until(step, home.path, change, RegistrySettings.find(home), what, argument)
    assert step in (NEVER, reached), "it was done before"
    return reached


def _mend(registry: Registry, workspace: Workspace) -> list[Finding]:
    """Mends, and returns the findings. Asserts that history, aliases and traffic file agree afterwards."""
    found = examine(registry, workspace.home.candidates, mend=True)
    assert all(finding.is_mended for finding in found), found
    assert examine(registry, workspace.home.candidates) == []
    moves = registry.list_moves(MODEL)
    aliases = {(alias, version.digest) for version in registry.list_versions(MODEL) for alias in version.aliases}
    assert aliases == {(role, one.digest) for role, one in (moves[-1].traffic.releases if moves else ())}
    if moves:
        assert registry.store.read_traffic(MODEL) == moves[-1].traffic
    return found


def test_a_process_killed_while_it_registers_leaves_a_version_or_none(workspace: Workspace) -> None:
    registry = workspace.open()
    # The first makes the model.
    registry.register(read_release(workspace.train(seed=20_000)))
    steps = _run_until(NEVER, workspace.home, "register", workspace.train(seed=10_000))
    seen: Counter[str] = Counter()
    for number, step in enumerate(spread(steps, _KILLS)):
        folder = workspace.train(seed=number)
        _run_until(step, workspace.home, "register", folder)
        found = _mend(registry, workspace)
        is_registered = folder.name in {version.digest for version in registry.list_versions(MODEL)}
        seen["mended" if found else "registered" if is_registered else "nothing"] += 1
        # As if nothing had happened.
        version, is_new = registry.register(read_release(folder))
        assert (is_new, version.run) == (not is_registered, registry.runs.find(MODEL, folder.name))
    versions = registry.list_versions(MODEL)
    assert [version.number for version in versions] == list(range(1, _KILLS + 3))[::-1]
    assert len({version.semantic_version for version in versions}) == len({version.digest for version in versions})
    assert set(seen) == {"nothing", "mended", "registered"}, seen


@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_process_killed_while_it_moves_the_champion_leaves_a_move_or_none(
    registered: Registry, workspace: Workspace, what: str
) -> None:
    # So that there is always one to go back to.
    for version in ("1.0.0", "1.1.0") * (_KILLS // 2 + 2 if what == "rollback" else 1):
        registered.promote(MODEL, version, _WHY)
    steps = _run_until(NEVER, workspace.home, what, _arguments(registered, what))
    seen: Counter[int] = Counter()
    for step in spread(steps, _KILLS):
        before = registered.list_moves(MODEL)
        _run_until(step, workspace.home, what, _arguments(registered, what))
        _mend(registered, workspace)
        after = registered.list_moves(MODEL)
        assert after[: len(before)] == before
        seen[len(after) - len(before)] += 1
    assert set(seen) == {0, 1}, seen


def _arguments(registry: Registry, what: str) -> tuple[str, ...]:
    return (_other(registry),) if what == "promote" else ()


def _other(registry: Registry) -> str:
    """A version that is not champion."""
    champion = registry.store.read_traffic(MODEL).champion
    return "1.0.0" if champion and champion.semantic_version == "1.1.0" else "1.1.0"


def _prepare(registry: Registry, what: str, number: int) -> tuple[Any, ...]:
    """Prepares a registry so that each move takes the same steps; returns its arguments."""
    other, traffic = _other(registry), registry.store.read_traffic(MODEL)
    if what == "shadow":
        if traffic.shadow:
            registry.withdraw(MODEL, "shadow", _WHY)
        return ("1.0.1",)
    if what in ("pin", "unpin"):
        if bool(traffic.pinned) == (what == "pin"):
            (registry.unpin if traffic.pinned else registry.pin)(MODEL, other, _WHY)
        return (other,)
    if traffic.champion is None:
        registry.rollback(MODEL, _WHY)
    weight = (number + 1) / 100
    if what == "challenge":
        if traffic.challenger:
            registry.withdraw(MODEL, "challenger", _WHY)
        return other, weight
    registry.challenge(MODEL, other, weight, _WHY)
    return {
        "another weight": (other, weight + 0.5),
        "promote": (other,),
        "withdraw": ("challenger",),
        "withdraw all": ("champion",),
    }[what]


@pytest.mark.parametrize(
    "what", ["challenge", "another weight", "shadow", "withdraw", "withdraw all", "promote", "pin", "unpin"]
)
def test_a_process_killed_while_it_moves_what_stands_beside_the_champion_leaves_a_move_or_none(
    registered: Registry, workspace: Workspace, what: str
) -> None:
    registered.promote(MODEL, "1.0.0", _WHY)
    method = {"another weight": "challenge", "withdraw all": "withdraw"}.get(what, what)
    steps = _run_until(NEVER, workspace.home, method, _prepare(registered, what, _KILLS_OF_TRAFFIC))
    seen: Counter[int] = Counter()
    for number, step in enumerate(spread(steps, _KILLS_OF_TRAFFIC)):
        arguments = _prepare(registered, what, number)
        before = registered.list_moves(MODEL)
        _run_until(step, workspace.home, method, arguments)
        _mend(registered, workspace)
        after = registered.list_moves(MODEL)
        assert after[: len(before)] == before
        seen[len(after) - len(before)] += 1
    assert set(seen) == {0, 1}, seen


def test_a_process_killed_while_it_makes_the_database_leaves_it_whole_or_not_at_all(tmp_path: Path) -> None:
    whole = Workspace(tmp_path / "whole")
    steps = _run_until(NEVER, whole.home, "register", whole.train())
    seen: Counter[bool] = Counter()
    for number, step in enumerate(spread(steps, _KILLS_OF_DATABASE)):
        workspace = Workspace(tmp_path / str(number))
        folder = workspace.train()
        _run_until(step, workspace.home, "register", folder)
        seen[(workspace.home.registry / "mlflow.db").exists()] += 1
        registry = workspace.open()
        _mend(registry, workspace)
        version, _ = registry.register(read_release(folder))
        assert (version.semantic_version, len(registry.list_versions(MODEL))) == ("1.0.0", 1)
    assert set(seen) == {False, True}, seen
