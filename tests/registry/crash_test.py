"""Processes that are killed while they change a registry: either all agrees, or the doctor names and mends it."""

import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from support.registries import BEGUN, DONE, FORKS, MODEL, Workspace, change, start

from athanor.home import Home
from athanor.registry.care.doctor import Finding, examine
from athanor.registry.registry import Registry
from athanor.release.files import read_release

_KILLS: Final = 16
_KILLS_OF_TRAFFIC: Final = 8
_KILLS_OF_DATABASE: Final = 3
_WHY: Final = "to see"


def _measure(home: Home, what: str, argument: Any) -> float:
    """Duration of a process that is not killed, in seconds."""
    here, there = FORKS.Pipe(duplex=False)
    process = start(change, home, what, argument, there)
    begun, done = ((here.recv(), time.perf_counter())[1] for _ in (BEGUN, DONE))
    process.join()
    return done - begun


def _kill(home: Home, what: str, argument: Any, delay_s: float) -> None:
    """Lets a process open a registry and change it, and kills it a while after it has begun."""
    here, there = FORKS.Pipe(duplex=False)
    process = start(change, home, what, argument, there)
    assert here.recv() == BEGUN
    time.sleep(delay_s)
    process.kill()
    process.join()


def _delays(longest_s: float, kills: int = _KILLS) -> list[float]:
    """Spread over all of it, and a bit beyond, in no order that could matter."""
    return np.random.default_rng(0).permutation(np.linspace(0, 1.2 * longest_s, kills)).tolist()  # type: ignore[no-any-return]


def _mend(registry: Registry, workspace: Workspace) -> list[Finding]:
    """Mends, and returns the findings. Asserts that none is left, and that history, alias and traffic file agree."""
    found = examine(registry, workspace.home.candidates, mend=True)
    assert all(finding.is_mended for finding in found), found
    assert examine(registry, workspace.home.candidates) == []
    moves = registry.list_moves(MODEL)
    aliases = {alias: version.digest for version in registry.list_versions(MODEL) for alias in version.aliases}
    served = moves[-1].traffic.served if moves else {}
    assert aliases == {variant: release.digest for variant, release in served.items()}
    if moves:
        assert registry.store.read_traffic(MODEL) == moves[-1].traffic
    return found


def test_a_process_killed_while_it_registers_leaves_a_version_or_none(workspace: Workspace) -> None:
    registry = workspace.open()
    longest_s = _measure(workspace.home, "register", workspace.train(seed=10_000))
    seen: Counter[str] = Counter()
    for number, delay_s in enumerate(_delays(longest_s)):
        folder = workspace.train(seed=number)
        _kill(workspace.home, "register", folder, delay_s)
        found = _mend(registry, workspace)
        is_registered = folder.name in {version.digest for version in registry.list_versions(MODEL)}
        seen["mended" if found else "registered" if is_registered else "nothing"] += 1
        # As if nothing had happened.
        version, is_new = registry.register(read_release(folder))
        assert (is_new, version.run) == (not is_registered, registry.runs.find(MODEL, folder.name))
    versions = registry.list_versions(MODEL)
    assert [version.number for version in versions] == list(range(1, _KILLS + 2))[::-1]
    assert len({version.semantic_version for version in versions}) == len({version.digest for version in versions})
    assert set(seen) == {"nothing", "mended", "registered"}, seen


@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_process_killed_while_it_moves_the_champion_leaves_a_move_or_none(
    registered: Registry, workspace: Workspace, what: str
) -> None:
    # So that there is always one to go back to.
    for version in ("1.0.0", "1.1.0") * (_KILLS // 2 + 2):
        registered.promote(MODEL, version, _WHY)
    longest_s = _measure(workspace.home, what, ("1.0.1",) if what == "promote" else ())
    seen: Counter[int] = Counter()
    for number, delay_s in enumerate(_delays(longest_s)):
        before = registered.list_moves(MODEL)
        _kill(workspace.home, what, (("1.0.0", "1.1.0")[number % 2],) if what == "promote" else (), delay_s)
        _mend(registered, workspace)
        after = registered.list_moves(MODEL)
        assert after[: len(before)] == before
        seen[len(after) - len(before)] += 1
    assert set(seen) == {0, 1}, seen


def _prepare(registry: Registry, what: str, number: int) -> tuple[Any, ...]:
    """Sees to it that what comes is a move; returns its arguments."""
    traffic = registry.store.read_traffic(MODEL)
    other = "1.0.0" if traffic.champion.semantic_version == "1.1.0" else "1.1.0"
    if what == "shadow":
        if traffic.shadow:
            registry.withdraw(MODEL, "shadow", _WHY)
        return ("1.0.1",)
    weight = (number + 1) / 100
    if what == "challenge":
        return other, weight
    registry.challenge(MODEL, other, weight, _WHY)
    return (other,) if what == "promote" else ("challenger",)


@pytest.mark.parametrize("what", ["challenge", "shadow", "withdraw", "promote"])
def test_a_process_killed_while_it_moves_challenger_or_shadow_leaves_a_move_or_none(
    registered: Registry, workspace: Workspace, what: str
) -> None:
    registered.promote(MODEL, "1.0.0", _WHY)
    longest_s = _measure(workspace.home, what, _prepare(registered, what, _KILLS_OF_TRAFFIC))
    seen: Counter[int] = Counter()
    for number, delay_s in enumerate(_delays(longest_s, _KILLS_OF_TRAFFIC)):
        arguments = _prepare(registered, what, number)
        before = registered.list_moves(MODEL)
        _kill(workspace.home, what, arguments, delay_s)
        _mend(registered, workspace)
        after = registered.list_moves(MODEL)
        assert after[: len(before)] == before
        seen[len(after) - len(before)] += 1
    assert set(seen) == {0, 1}, seen


def test_a_process_killed_while_it_makes_the_database_leaves_it_whole_or_not_at_all(tmp_path: Path) -> None:
    measured = Workspace(tmp_path / "measured")
    longest_s = _measure(measured.home, "register", measured.train())
    for number, delay_s in enumerate(_delays(longest_s, _KILLS_OF_DATABASE)):
        workspace = Workspace(tmp_path / str(number))
        folder = workspace.train()
        _kill(workspace.home, "register", folder, delay_s)
        registry = workspace.open()
        _mend(registry, workspace)
        version, _ = registry.register(read_release(folder))
        assert (version.semantic_version, len(registry.list_versions(MODEL))) == ("1.0.0", 1)
