"""Moves that end before each of their writes: serving never sees what no record names, and the doctor ends them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from support.registries import MODEL, Workspace

from athanor.registry.care.doctor import examine
from athanor.registry.registry import Registry
from athanor.release.files import read_release
from athanor.release.traffic import Traffic

_WHY: Final = "to see"
_OF_DATABASE: Final = (
    *("set_registered_model_tag", "set_registered_model_alias", "delete_registered_model_alias"),
    *("set_model_version_tag", "delete_model_version_tag"),
)
_Move: TypeAlias = Callable[[Registry], Traffic]

_MOVES: Final[dict[str, _Move]] = {
    "promote another": lambda registry: registry.promote(MODEL, "1.2.0", _WHY),
    "promote the challenger": lambda registry: registry.promote(MODEL, "1.0.1", _WHY),
    "promote the shadow": lambda registry: registry.promote(MODEL, "1.1.0", _WHY),
    "challenge with another weight": lambda registry: registry.challenge(MODEL, "1.0.1", 0.2, _WHY),
    "challenge with another version": lambda registry: registry.challenge(MODEL, "1.2.0", 0.1, _WHY),
    "shadow by another version": lambda registry: registry.shadow(MODEL, "1.2.0", _WHY),
    "roll back": lambda registry: registry.rollback(MODEL, _WHY),
    "withdraw the challenger": lambda registry: registry.withdraw(MODEL, "challenger", _WHY),
    "withdraw the shadow": lambda registry: registry.withdraw(MODEL, "shadow", _WHY),
    "withdraw the champion": lambda registry: registry.withdraw(MODEL, "champion", _WHY),
    "pin": lambda registry: registry.pin(MODEL, "1.2.0", _WHY),
    "unpin": lambda registry: registry.unpin(MODEL, "1.0.1", _WHY),
}

# Writes of a move, if not four.
_MOMENTS: Final = {
    "challenge with another weight": 3,
    "promote the challenger": 5,
    "promote the shadow": 5,
    "withdraw the champion": 7,
}


class _EndedError(BaseException):
    """The end of a process: nothing of ours catches it."""


@pytest.fixture(scope="module")
def busy(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With champion 1.0.0, challenger 1.0.1, shadow 1.1.0, 1.0.1 pinned too, and 1.2.0 that takes no part."""
    workspace = filled.copy(tmp_path_factory.mktemp("busy"))
    registry = workspace.open()
    registry.register(read_release(workspace.train(algorithm="a third")))
    for version in ("1.1.0", "1.2.0", "1.0.0"):
        registry.promote(MODEL, version, _WHY)
    registry.challenge(MODEL, "1.0.1", 0.1, _WHY)
    registry.shadow(MODEL, "1.1.0", _WHY)
    registry.pin(MODEL, "1.0.1", _WHY)
    return workspace


@contextmanager
def _ends_before(registry: Registry, last: int) -> Iterator[None]:
    """Ends the process before a write, counted from 1."""
    writes = count(1)

    def ending(write: Callable[..., Any]) -> Callable[..., Any]:
        def write_or_end(*arguments: Any) -> Any:
            if next(writes) == last:
                raise _EndedError
            return write(*arguments)

        return write_or_end

    with pytest.MonkeyPatch.context() as patch:
        for name in _OF_DATABASE:
            patch.setattr(registry.client, name, ending(getattr(registry.client, name)))
        for name in ("write_ledger", "write_traffic"):
            patch.setattr(registry.store, name, ending(getattr(registry.store, name)))
        yield


def _interrupted(busy: Workspace, place: Workspace, move: _Move) -> Iterator[tuple[Registry, int]]:
    """Yields registries interrupted before the first write of a move, the second and so on, and the write's number."""
    for last in count(1):
        place.reset(busy)
        registry = place.open()
        with _ends_before(registry, last):
            try:
                move(registry)
            except _EndedError:
                pass
            else:
                return
        yield registry, last


@pytest.mark.parametrize("name", _MOVES)
def test_the_doctor_ends_what_was_recorded_and_nothing_else(busy: Workspace, place: Workspace, name: str) -> None:
    before = busy.open()
    moves, traffic = before.list_moves(MODEL), before.store.read_traffic(MODEL)
    moments = 0
    for registry, last in _interrupted(busy, place, _MOVES[name]):
        moments += 1
        assert registry.store.read_traffic(MODEL) == traffic, "the traffic file comes last"
        recorded = registry.list_moves(MODEL)
        assert recorded[: len(moves)] == moves
        assert len(recorded) - len(moves) == (last > 1), "the record comes first"
        found = examine(registry, place.home.candidates, mend=True)
        assert bool(found) == (last > 1)
        assert all(finding.is_mended and finding.remedy for finding in found)
        assert examine(registry, place.home.candidates) == []
        assert registry.store.read_traffic(MODEL) == recorded[-1].traffic
        assert registry.list_moves(MODEL) == recorded
    # The record in the ledger and in MLflow, the traffic file, and each alias or tag that moved; a weight has none.
    assert moments == _MOMENTS.get(name, 4)


@pytest.mark.parametrize("name", _MOVES)
def test_the_same_move_again_ends_it_as_well(busy: Workspace, place: Workspace, name: str) -> None:
    before = len(busy.open().list_moves(MODEL))
    for registry, _ in _interrupted(busy, place, _MOVES[name]):
        _MOVES[name](registry)
        assert examine(registry, place.home.candidates) == []
        assert len(registry.list_moves(MODEL)) == before + 1


def test_rolling_back_to_the_challenger_is_ended_too(busy: Workspace, place: Workspace, tmp_path: Path) -> None:
    workspace = busy.copy(tmp_path / "promoted")
    registry = workspace.open()
    registry.promote(MODEL, "1.2.0", _WHY)
    registry.challenge(MODEL, "1.0.0", 0.5, _WHY)
    moments = 0
    for interrupted, last in _interrupted(workspace, place, lambda found: found.rollback(MODEL, _WHY)):
        moments += 1
        examine(interrupted, place.home.candidates, mend=True)
        assert examine(interrupted, place.home.candidates) == []
        champion = interrupted.store.read_traffic(MODEL).require_champion().semantic_version
        assert champion == ("1.0.0" if last > 1 else "1.2.0")
    assert moments == 5
