"""Records of moves: records from before there were challengers are read, and stay valid."""

import json
from typing import Any, Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import ServiceError
from athanor.registry.care.doctor import examine
from athanor.registry.history import champion_before
from athanor.registry.registry import Registry
from athanor.release.files import Release
from athanor.release.traffic import Served, Traffic

_WHY: Final = "to see"


def _old_record(revision: int, kind: str, before: tuple[str, Release] | None, after: tuple[str, Release]) -> str:
    """As it was written before there were challengers."""
    return json.dumps(
        {
            "revision": revision,
            "kind": kind,
            "from_version": before[0] if before else None,
            "from_digest": before[1].digest if before else None,
            "semantic_version": after[0],
            "digest": after[1].digest,
            "by": "ada",
            "at": "2026-11-24T10:00:00+00:00",
            "why": "it was so",
            "gates": "1 of 1 passed",
        }
    )


@pytest.fixture
def old(registered: Registry, workspace: Workspace, releases: list[Release]) -> Registry:
    """With moves of before: 1.0.0, 1.0.1, and back to 1.0.0."""
    first, second = ("1.0.0", releases[0]), ("1.0.1", releases[1])
    records = [
        _old_record(1, "promote", None, first),
        _old_record(2, "promote", first, second),
        _old_record(3, "rollback", second, first),
    ]
    for revision, record in enumerate(records, start=1):
        registered.client.set_registered_model_tag(MODEL, f"move.{revision:06d}", record)
    # Of before there was a ledger: the traffic file alone proves them.
    (workspace.home.store / "ledger" / f"{MODEL}.json").unlink()
    champion = Served(digest=first[1].digest, semantic_version="1.0.0")
    registered.store.write_traffic(Traffic(model=MODEL, revision=3, champion=champion))
    examine(registered, workspace.home.candidates, mend=True)
    return registered


def _tags(registry: Registry) -> dict[str, Any]:
    return dict(registry.client.get_registered_model(MODEL).tags)


def test_an_old_record_tells_of_a_champion_alone(old: Registry, releases: list[Release]) -> None:
    moves = old.list_moves(MODEL)
    served = [Served(digest=releases[n].digest, semantic_version=("1.0.0", "1.0.1")[n]) for n in (0, 1, 0)]
    assert [move.traffic for move in moves] == [
        Traffic(model=MODEL, revision=revision, champion=champion) for revision, champion in enumerate(served, start=1)
    ]
    assert [(move.kind, move.variant, move.by, move.why) for move in moves] == [
        ("promote", "champion", "ada", "it was so"),
        ("promote", "champion", "ada", "it was so"),
        ("rollback", "champion", "ada", "it was so"),
    ]


def test_an_old_history_agrees_and_goes_on(old: Registry, workspace: Workspace) -> None:
    assert examine(old, workspace.home.candidates) == []
    before = _tags(old)
    old.challenge(MODEL, "1.1.0", 0.1, _WHY)
    old.promote(MODEL, "1.0.1", _WHY)
    traffic = old.rollback(MODEL, _WHY)
    assert (traffic.revision, traffic.require_champion().semantic_version) == (6, "1.0.0")
    assert traffic.challenger is not None
    assert examine(old, workspace.home.candidates) == []
    # Nothing that was recorded is rewritten, not even into the newer form.
    assert {name: _tags(old)[name] for name in before} == before


def test_a_record_is_read_as_it_was_written(old: Registry) -> None:
    old.shadow(MODEL, "1.0.1", _WHY)
    old.challenge(MODEL, "1.1.0", 0.3, "„why not?“")
    name, value = old.list_moves(MODEL)[-1].tag
    assert _tags(old)[name] == value
    assert json.loads(value)["traffic"]["challenger"]["weight"] == 0.3


@pytest.mark.parametrize(
    ("whole", "damaged", "words"),
    [
        ('"weight": 0.3', '"weight": 3', r"challenger\.weight"),
        ('"revision": 4,', "", "revision"),
        ('"why"', '"whim"', "whim"),
        ("{", "[", "Expecting"),
    ],
)
def test_what_is_no_record_is_named(old: Registry, whole: str, damaged: str, words: str) -> None:
    old.challenge(MODEL, "1.1.0", 0.3, _WHY)
    name, value = old.list_moves(MODEL)[-1].tag
    ledger = old.store.read_ledger(MODEL)
    moves = {**ledger.moves, name: value.replace(whole, damaged, 1)}
    old.store.write_ledger(MODEL, ledger.model_copy(update={"moves": moves}))
    with pytest.raises(ServiceError, match=rf"(?s)move\.000004 of delays is not a record of a move.*{words}"):
        old.list_moves(MODEL)


def test_only_promotions_and_rollbacks_count_for_a_rollback(old: Registry) -> None:
    assert champion_before(old.list_moves(MODEL)) is None
    old.promote(MODEL, "1.0.1", _WHY)
    for weight in (0.1, 0.2):
        old.challenge(MODEL, "1.1.0", weight, _WHY)
    old.withdraw(MODEL, "challenger", _WHY)
    earlier = champion_before(old.list_moves(MODEL))
    assert earlier is not None
    assert (earlier.revision, earlier.semantic_version) == (1, "1.0.0")
