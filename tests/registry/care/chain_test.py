"""The doctor mends nothing that the ledger's chain of moves, or the published traffic, does not prove."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import ConflictError, NotFoundError, ServiceError
from athanor.registry.care.doctor import examine
from athanor.registry.history import digest_record
from athanor.registry.registry import Registry
from athanor.release.ledger import Ledger
from athanor.release.traffic import Served

_WHY: Final = "to see"
_RECORDS: Final = ("move.000001", "move.000002", "move.000003")


def _ledger(workspace: Workspace) -> Path:
    return workspace.home.store / "ledger" / f"{MODEL}.json"


def _spoil(registry: Registry, change: Callable[[dict[str, str]], None]) -> None:
    ledger = registry.store.read_ledger(MODEL)
    moves = dict(ledger.moves)
    change(moves)
    registry.store.write_ledger(MODEL, ledger.model_copy(update={"moves": moves}))


def _edit(moves: dict[str, str]) -> None:
    moves["move.000002"] = moves["move.000002"].replace(_WHY, "another reason")


def _unchain(moves: dict[str, str]) -> None:
    before = digest_record(moves["move.000002"])
    moves["move.000003"] = moves["move.000003"].replace(f', "previous": "{before}"', "")


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (_edit, "move.000003"),
        (lambda moves: moves.pop("move.000001"), "move.000002"),
        (lambda moves: moves.pop("move.000002"), "move.000003"),
        (lambda moves: moves.update({"move.000002": moves["move.000001"]}), "move.000002"),
        (_unchain, "move.000003"),
    ],
)
def test_a_broken_chain_is_named_and_nothing_is_mended_or_moved(
    moved: Registry, workspace: Workspace, change: Callable[[dict[str, str]], None], broken: str
) -> None:
    traffic = moved.store.read_traffic(MODEL)
    _spoil(moved, change)
    # To be published by no means.
    moved.client.set_registered_model_alias(MODEL, "champion", "1")
    found = examine(moved, workspace.home.candidates, mend=True)
    assert any(f"{MODEL} does not follow from the record before it" in finding.what for finding in found), found
    assert not any(finding.is_mended for finding in found)
    with pytest.raises(ServiceError, match=f"{broken} of delays does not follow"):
        moved.rollback(MODEL, _WHY)
    with pytest.raises(ServiceError, match=f"{broken} of delays does not follow"):
        moved.promote(MODEL, "1.0.0", _WHY)
    assert moved.store.read_traffic(MODEL) == traffic


def test_each_record_holds_the_digest_of_the_one_before(moved: Registry) -> None:
    records = moved.store.read_ledger(MODEL).moves
    assert tuple(records) == _RECORDS
    previous = [move.previous for move in moved.list_moves(MODEL)]
    assert previous == ["", *(digest_record(records[name]) for name in _RECORDS[:-1])]


@pytest.fixture
def forged(moved: Registry) -> Registry:
    """With a move of others in MLflow: 1.0.0 as champion, in a chain that holds."""
    last, version = moved.list_moves(MODEL)[-1], moved.find_version(MODEL, "1.0.0")
    served = Served(digest=version.digest, semantic_version="1.0.0")
    traffic = last.traffic.model_copy(update={"revision": 4, "champion": served})
    move = replace(last, revision=4, **served.model_dump(), traffic=traffic, previous=digest_record(last.tag[1]))
    moved.client.set_registered_model_tag(MODEL, *move.tag)
    moved.client.set_registered_model_alias(MODEL, "champion", "1")
    return moved


def test_a_forged_move_is_named_and_never_published(forged: Registry, workspace: Workspace) -> None:
    traffic = forged.store.read_traffic(MODEL)
    found = examine(forged, workspace.home.candidates, mend=True)
    assert found[0].what == "the record move.000004 is in MLflow alone: no command of Athanor wrote it"
    assert forged.store.read_traffic(MODEL) == traffic
    assert examine(forged, workspace.home.candidates) == []


def test_a_forged_move_is_no_ground_of_a_command(forged: Registry) -> None:
    assert len(forged.list_moves(MODEL)) == 3
    after = forged.challenge(MODEL, "1.0.0", 0.1, _WHY)
    assert (after.revision, after.require_champion().semantic_version) == (4, "1.1.0")


def test_without_a_ledger_the_published_traffic_must_prove_the_moves(forged: Registry, workspace: Workspace) -> None:
    _ledger(workspace).unlink()
    traffic = forged.store.read_traffic(MODEL)
    (found,) = examine(forged, workspace.home.candidates, mend=True)
    assert "by the 4 moves in MLflow other releases answer than by the traffic file" in found.what
    assert not found.is_mended
    with pytest.raises(ConflictError, match="nothing proves them"):
        forged.promote(MODEL, "1.0.0", _WHY)
    assert forged.store.read_traffic(MODEL) == traffic
    assert not _ledger(workspace).exists()


def test_a_damaged_ledger_is_not_written_again_from_what_nothing_proves(forged: Registry, workspace: Workspace) -> None:
    _ledger(workspace).write_bytes(b"{")
    (found,) = examine(forged, workspace.home.candidates, mend=True)
    assert "mending failed" in found.what
    assert _ledger(workspace).read_bytes() == b"{"


def test_a_model_that_others_made_is_named_and_never_published(moved: Registry, workspace: Workspace) -> None:
    moved.client.create_registered_model("other")
    for name, content in moved.store.read_ledger(MODEL).moves.items():
        moved.client.set_registered_model_tag("other", name, content.replace(f'"{MODEL}"', '"other"'))
    found = examine(moved, workspace.home.candidates, mend=True)
    assert [finding.model for finding in found] == ["other"]
    with pytest.raises(NotFoundError):
        moved.store.read_traffic("other")


def test_only_the_traffic_of_the_last_move_is_given_out_to_be_signed(moved: Registry, workspace: Workspace) -> None:
    last = moved.list_moves(MODEL)[-1].traffic
    assert moved.published_traffic(MODEL) == last
    moved.store.write_traffic(moved.list_moves(MODEL)[0].traffic)
    with pytest.raises(
        ConflictError, match="traffic file of delays, of revision 1, is not the one after the last move"
    ):
        moved.published_traffic(MODEL)
    moved.store.write_traffic(last)
    _ledger(workspace).unlink()
    with pytest.raises(ConflictError, match="is not the one after the last move"):
        moved.published_traffic(MODEL)


def test_an_empty_ledger_is_one(registered: Registry, workspace: Workspace) -> None:
    """A model without a move has none in MLflow either, whatever others put there."""
    registered.client.set_registered_model_tag(MODEL, "move.000001", "{}")
    assert registered.list_moves(MODEL) == []
    shutil.rmtree(workspace.home.store / "traffic", ignore_errors=True)
    registered.store.write_ledger(MODEL, Ledger(versions=registered.store.read_ledger(MODEL).versions))
    (found,) = examine(registered, workspace.home.candidates, mend=True)
    assert found.is_mended
