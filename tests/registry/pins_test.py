"""Pinned versions: they stand beside the variants, stay through every other move, and are recorded like these."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import InputError, NotFoundError, ReleaseError
from athanor.registry.care.doctor import examine
from athanor.registry.moves import Step, find_replaced, take
from athanor.registry.registry import Registry
from athanor.release.files import GRAPH, Release
from athanor.release.traffic import MOST_PINNED, PINNED, Served, Traffic

_WHY: Final = "to see"


@pytest.fixture
def promoted(registered: Registry) -> Registry:
    """Whose champion is 1.1.0."""
    registered.promote(MODEL, "1.1.0", _WHY)
    return registered


def _pinned(traffic: Traffic) -> list[str]:
    return [served.semantic_version for served in traffic.pinned]


def _aliases(registry: Registry) -> dict[str, tuple[str, ...]]:
    return {version.semantic_version: version.aliases for version in registry.list_versions(MODEL)}


def _folder(workspace: Workspace, release: Release) -> Path:
    return workspace.home.store / "releases" / MODEL / release.digest


def test_versions_are_pinned_and_unpinned(promoted: Registry, releases: list[Release]) -> None:
    promoted.pin(MODEL, "1.0.1", " for the old app ")
    traffic = promoted.pin(MODEL, releases[0].digest[:8], _WHY)
    assert traffic == promoted.store.read_traffic(MODEL)
    assert (traffic.revision, _pinned(traffic)) == (3, ["1.0.0", "1.0.1"])
    assert _aliases(promoted) == {"1.1.0": ("champion",), "1.0.1": ("pinned",), "1.0.0": ("pinned",)}
    assert {v.semantic_version: v.weight for v in promoted.list_versions(MODEL)} == {
        "1.1.0": 1.0,
        "1.0.1": 0.0,
        "1.0.0": 0.0,
    }
    assert _pinned(promoted.unpin(MODEL, "1.0.0", "nobody asks")) == ["1.0.1"]
    assert _aliases(promoted) == {"1.1.0": ("champion",), "1.0.1": ("pinned",), "1.0.0": ()}
    moves = promoted.list_moves(MODEL)[1:]
    assert [(m.kind, m.variant, m.from_version, m.semantic_version, m.why, m.gates) for m in moves] == [
        ("pin", "pinned", None, "1.0.1", "for the old app", "1 of 1 passed"),
        ("pin", "pinned", None, "1.0.0", _WHY, "1 of 1 passed"),
        ("unpin", "pinned", "1.0.0", "1.0.0", "nobody asks", ""),
    ]


def test_pins_stay_through_every_other_move(promoted: Registry, workspace: Workspace) -> None:
    promoted.pin(MODEL, "1.0.0", _WHY)
    moves: list[Callable[[], Traffic]] = [
        lambda: promoted.promote(MODEL, "1.0.0", _WHY),
        lambda: promoted.challenge(MODEL, "1.0.1", 0.1, _WHY),
        lambda: promoted.withdraw(MODEL, "challenger", _WHY),
        lambda: promoted.rollback(MODEL, _WHY),
        lambda: promoted.shadow(MODEL, "1.0.0", _WHY),
        lambda: promoted.withdraw(MODEL, "shadow", _WHY),
    ]
    assert [_pinned(move()) for move in moves] == [["1.0.0"]] * len(moves)
    assert _aliases(promoted)["1.0.0"] == ("pinned",)
    assert examine(promoted, workspace.home.candidates) == []


@pytest.mark.parametrize("version", ["1.1.0", "1.0.1"])
def test_a_variant_may_be_pinned_too(promoted: Registry, version: str) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    assert _pinned(promoted.pin(MODEL, version, _WHY)) == [version]
    assert _aliases(promoted)[version] == ({"1.1.0": "champion", "1.0.1": "challenger"}[version], "pinned")
    weights = {v.semantic_version: v.weight for v in promoted.list_versions(MODEL)}
    assert weights == {"1.1.0": 0.9, "1.0.1": 0.1, "1.0.0": None}
    assert promoted.unpin(MODEL, version, _WHY).served == promoted.store.read_traffic(MODEL).served


def test_what_cannot_be_pinned_is_refused_with_words(
    promoted: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    with pytest.raises(NotFoundError, match=r"no version 2.0.0; registered are: 1.1.0, 1.0.1, 1.0.0"):
        promoted.pin(MODEL, "2.0.0", _WHY)
    promoted.pin(MODEL, "1.0.1", _WHY)
    with pytest.raises(InputError, match=r"1.0.1 of delays is pinned already"):
        promoted.pin(MODEL, "1.0.1", _WHY)
    with pytest.raises(InputError, match="pin of delays needs a reason"):
        promoted.pin(MODEL, "1.0.0", " ")
    (_folder(workspace, releases[0]) / GRAPH).write_bytes(b"")
    with pytest.raises(ReleaseError, match=GRAPH):
        promoted.pin(MODEL, "1.0.0", _WHY)
    shutil.rmtree(_folder(workspace, releases[0]))
    with pytest.raises(NotFoundError, match=releases[0].digest):
        promoted.pin(MODEL, "1.0.0", _WHY)
    assert len(promoted.list_moves(MODEL)) == 2


def test_without_a_champion_nothing_is_pinned(registered: Registry) -> None:
    with pytest.raises(NotFoundError, match=r"no champion, so that 1.0.1 cannot be pinned; promote a version"):
        registered.pin(MODEL, "1.0.1", _WHY)


def test_what_is_not_pinned_cannot_be_unpinned(promoted: Registry) -> None:
    with pytest.raises(NotFoundError, match=r"1.0.0 of delays is not pinned; see `athanor registry traffic delays`"):
        promoted.unpin(MODEL, "1.0.0", _WHY)
    with pytest.raises(NotFoundError, match=r"no version 2.0.0"):
        promoted.unpin(MODEL, "2.0.0", _WHY)
    promoted.pin(MODEL, "1.0.0", _WHY)
    with pytest.raises(InputError, match="unpin of delays needs a reason"):
        promoted.unpin(MODEL, "1.0.0", "")
    assert len(promoted.list_moves(MODEL)) == 2


def test_one_that_is_gone_can_be_unpinned(promoted: Registry, workspace: Workspace, releases: list[Release]) -> None:
    promoted.pin(MODEL, "1.0.0", _WHY)
    promoted.client.delete_model_version(MODEL, str(promoted.find_version(MODEL, "1.0.0").number))
    shutil.rmtree(_folder(workspace, releases[0]))
    assert _pinned(promoted.unpin(MODEL, "1.0.0", "it is gone")) == []


def test_only_so_many_are_pinned() -> None:
    pinned = [Served(digest=f"{number:064x}", semantic_version=f"1.{number}.0") for number in range(MOST_PINNED + 1)]
    traffic = Traffic(model=MODEL, revision=1, champion=pinned[0])
    for served in reversed(pinned[1:]):
        traffic = take(traffic, MODEL, Step("pin", PINNED, served))
    # By number, whatever the order of the moves: 1.10.0 after 1.9.0.
    assert traffic.pinned == tuple(pinned[1:])
    with pytest.raises(
        InputError, match=r"delays has 20 pinned versions, .*20 is the most; unpin one before you pin 1.0"
    ):
        take(traffic, MODEL, Step("pin", PINNED, pinned[0]))


def test_a_pin_replaces_nothing_and_an_unpin_the_release_itself(promoted: Registry) -> None:
    traffic = promoted.pin(MODEL, "1.0.0", _WHY)
    (served,) = traffic.pinned
    assert find_replaced(traffic, "pin", PINNED, served.digest) is None
    assert find_replaced(traffic, "unpin", PINNED, served.digest) == served
    assert find_replaced(traffic, "unpin", PINNED, "0" * 64) is None


@pytest.mark.parametrize("move", ["pin", "unpin"])
def test_the_same_move_again_writes_the_traffic_file_that_was_not_written(
    promoted: Registry, workspace: Workspace, move: str
) -> None:
    """As after a crash, or on a full disk, between the record and the file."""
    if move == "unpin":
        promoted.pin(MODEL, "1.0.0", _WHY)
    stale = promoted.store.read_traffic(MODEL)
    make = {"pin": promoted.pin, "unpin": promoted.unpin}[move]
    traffic = make(MODEL, "1.0.0", _WHY)
    promoted.store.write_traffic(stale)
    assert make(MODEL, "1.0.0", _WHY) == traffic == promoted.store.read_traffic(MODEL)
    with pytest.raises(InputError):
        make(MODEL, "1.0.0", _WHY)
    assert examine(promoted, workspace.home.candidates) == []
