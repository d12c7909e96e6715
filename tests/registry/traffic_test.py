"""Challenger and shadow: allowed roles, the traffic after each move, and its history."""

from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import InputError, NotFoundError, ReleaseError
from athanor.registry.care.doctor import examine
from athanor.registry.registry import Registry
from athanor.release.files import GRAPH, Release
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Challenger, Served, Traffic

_WHY: Final = "to see"


@pytest.fixture
def promoted(registered: Registry) -> Registry:
    """Whose champion is 1.0.0."""
    registered.promote(MODEL, "1.0.0", _WHY)
    return registered


def _tell(traffic: Traffic) -> dict[str, str]:
    return {variant: served.semantic_version for variant, served in traffic.served.items()}


def _aliases(registry: Registry) -> dict[str, str]:
    return {alias: v.semantic_version for v in registry.list_versions(MODEL) for alias in v.aliases}


def _damage(workspace: Workspace, release: Release) -> None:
    (workspace.home.store / "releases" / MODEL / release.digest / GRAPH).write_bytes(b"")


def test_a_challenger_and_a_shadow_stand_beside_the_champion(
    promoted: Registry, store: ReleaseStore, releases: list[Release]
) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.25, _WHY)
    traffic = promoted.shadow(MODEL, releases[2].digest[:8], _WHY)
    assert traffic == store.read_traffic(MODEL)
    assert traffic == Traffic(
        model=MODEL,
        revision=3,
        champion=Served(digest=releases[0].digest, semantic_version="1.0.0"),
        challenger=Challenger(digest=releases[1].digest, semantic_version="1.0.1", weight=0.25),
        shadow=Served(digest=releases[2].digest, semantic_version="1.1.0"),
    )
    assert _aliases(promoted) == _tell(traffic)
    weights = {version.semantic_version: version.weight for version in promoted.list_versions(MODEL)}
    assert weights == {"1.0.0": 0.75, "1.0.1": 0.25, "1.1.0": 0.0}


def test_every_move_is_recorded_with_the_traffic_after_it(promoted: Registry, releases: list[Release]) -> None:
    after = [
        promoted.challenge(MODEL, "1.0.1", 0.25, " to try "),
        promoted.challenge(MODEL, "1.1.0", 0.5, _WHY),
        promoted.withdraw(MODEL, "challenger", "it is slow"),
        promoted.shadow(MODEL, "1.0.1", _WHY),
        promoted.withdraw(MODEL, "shadow", _WHY),
    ]
    moves = promoted.list_moves(MODEL)[1:]
    assert [move.traffic for move in moves] == after
    assert [move.revision for move in moves] == [traffic.revision for traffic in after] == [2, 3, 4, 5, 6]
    assert [(m.kind, m.variant, m.from_version, m.semantic_version, m.why) for m in moves] == [
        ("challenge", "challenger", None, "1.0.1", "to try"),
        ("challenge", "challenger", "1.0.1", "1.1.0", _WHY),
        ("withdraw", "challenger", "1.1.0", "1.1.0", "it is slow"),
        ("shadow", "shadow", None, "1.0.1", _WHY),
        ("withdraw", "shadow", "1.0.1", "1.0.1", _WHY),
    ]
    assert [move.gates for move in moves] == ["1 of 1 passed", "1 of 1 passed", "", "1 of 1 passed", ""]
    assert (moves[1].from_digest, moves[1].digest) == (releases[1].digest, releases[2].digest)


def test_another_weight_is_a_move_and_the_same_weight_is_not(promoted: Registry) -> None:
    first = promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    assert promoted.challenge(MODEL, "1.0.1", 0.1, "again") == first
    second = promoted.challenge(MODEL, "1.0.1", 0.2, "more")
    assert (second.revision, second.weights) == (3, {"champion": 0.8, "challenger": 0.2})
    assert [move.why for move in promoted.list_moves(MODEL)] == [_WHY, _WHY, "more"]


def test_the_same_shadow_is_no_move(promoted: Registry) -> None:
    assert promoted.shadow(MODEL, "1.0.1", _WHY) == promoted.shadow(MODEL, "1.0.1", "again")
    assert len(promoted.list_moves(MODEL)) == 2


@pytest.mark.parametrize("weight", [0, 1, 0.0, 1.0, -0.1, 1.5, 10, float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_no_share_is_refused_with_what_is_allowed(promoted: Registry, weight: float) -> None:
    with pytest.raises(InputError, match=rf"{weight} is not a valid weight .*delays; .* above 0 and below 1"):
        promoted.challenge(MODEL, "1.0.1", weight, _WHY)
    assert len(promoted.list_moves(MODEL)) == 1


@pytest.mark.parametrize("weight", [5e-324, 1e-9, 1 - 1e-9, 0.1 + 0.2])
def test_a_weight_is_kept_to_the_last_bit(promoted: Registry, store: ReleaseStore, weight: float) -> None:
    promoted.challenge(MODEL, "1.0.1", weight, _WHY)
    challenger, recorded = store.read_traffic(MODEL).challenger, promoted.list_moves(MODEL)[-1].traffic.challenger
    assert challenger == recorded
    assert challenger is not None
    assert challenger.weight == weight


def test_a_version_takes_one_part_at_a_time(promoted: Registry) -> None:
    with pytest.raises(InputError, match=r"1.0.0 .* is champion, and cannot be challenger .* promote another version"):
        promoted.challenge(MODEL, "1.0.0", 0.1, _WHY)
    with pytest.raises(InputError, match=r"1.0.0 .* is champion, and cannot be shadow too"):
        promoted.shadow(MODEL, "1.0.0", _WHY)
    promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    with pytest.raises(InputError, match=r"1.0.1 .* is challenger, and cannot be shadow .* withdraw the challenger"):
        promoted.shadow(MODEL, "1.0.1", _WHY)
    promoted.shadow(MODEL, "1.1.0", _WHY)
    with pytest.raises(InputError, match=r"1.1.0 .* is shadow, and cannot be challenger .* withdraw the shadow first"):
        promoted.challenge(MODEL, "1.1.0", 0.1, _WHY)
    assert _aliases(promoted) == {"champion": "1.0.0", "challenger": "1.0.1", "shadow": "1.1.0"}
    assert len(promoted.list_moves(MODEL)) == 3


def test_the_remedies_that_a_refusal_names_work(promoted: Registry) -> None:
    promoted.shadow(MODEL, "1.1.0", _WHY)
    promoted.withdraw(MODEL, "shadow", _WHY)
    promoted.challenge(MODEL, "1.1.0", 0.1, _WHY)
    promoted.promote(MODEL, "1.0.1", _WHY)
    assert _tell(promoted.shadow(MODEL, "1.0.0", _WHY)) == {
        "champion": "1.0.1",
        "challenger": "1.1.0",
        "shadow": "1.0.0",
    }


def test_without_a_champion_there_is_no_other_role(registered: Registry, store: ReleaseStore) -> None:
    words = "no champion, so that 1.0.1 cannot be {}; promote a version first"
    with pytest.raises(NotFoundError, match=words.format("challenger")):
        registered.challenge(MODEL, "1.0.1", 0.1, _WHY)
    with pytest.raises(NotFoundError, match=words.format("shadow")):
        registered.shadow(MODEL, "1.0.1", _WHY)
    with pytest.raises(NotFoundError, match="delays has no challenger to withdraw"):
        registered.withdraw(MODEL, "challenger", _WHY)
    assert registered.list_moves(MODEL) == []
    with pytest.raises(NotFoundError):
        store.read_traffic(MODEL)


def test_a_challenger_that_wins_challenges_no_more(promoted: Registry) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    promoted.shadow(MODEL, "1.1.0", _WHY)
    assert _tell(promoted.promote(MODEL, "1.0.1", _WHY)) == {"champion": "1.0.1", "shadow": "1.1.0"}
    assert _tell(promoted.promote(MODEL, "1.1.0", _WHY)) == {"champion": "1.1.0"} == _aliases(promoted)
    assert [(move.kind, move.from_version) for move in promoted.list_moves(MODEL)[3:]] == [
        ("promote", "1.0.0"),
        ("promote", "1.0.1"),
    ]


def test_another_champion_keeps_challenger_and_shadow(promoted: Registry) -> None:
    before = promoted.challenge(MODEL, "1.1.0", 0.3, _WHY)
    after = promoted.promote(MODEL, "1.0.1", _WHY)
    assert (after.challenger, after.revision) == (before.challenger, 3)
    assert _aliases(promoted) == {"champion": "1.0.1", "challenger": "1.1.0"}


def test_promoting_the_champion_again_is_no_move_with_any_challenger(promoted: Registry) -> None:
    before = promoted.challenge(MODEL, "1.1.0", 0.3, _WHY)
    assert promoted.promote(MODEL, "1.0.0", _WHY) == before
    assert len(promoted.list_moves(MODEL)) == 2


def test_rolling_back_passes_over_challengers_and_withdraws_one_that_it_makes_champion(promoted: Registry) -> None:
    promoted.promote(MODEL, "1.0.1", _WHY)
    promoted.shadow(MODEL, "1.1.0", _WHY)
    promoted.challenge(MODEL, "1.0.0", 0.1, "was it better?")
    assert _tell(promoted.rollback(MODEL, "it was")) == {"champion": "1.0.0", "shadow": "1.1.0"} == _aliases(promoted)
    with pytest.raises(NotFoundError, match="no earlier champion"):
        promoted.rollback(MODEL, _WHY)


def test_rolling_back_keeps_a_challenger_that_is_another(promoted: Registry) -> None:
    promoted.promote(MODEL, "1.0.1", _WHY)
    promoted.challenge(MODEL, "1.1.0", 0.1, _WHY)
    assert _tell(promoted.rollback(MODEL, _WHY)) == {"champion": "1.0.0", "challenger": "1.1.0"}


@pytest.mark.parametrize("variant", ["pinned", "Challenger", "", "canary"])
def test_only_a_variant_can_be_withdrawn(promoted: Registry, variant: str) -> None:
    with pytest.raises(
        InputError, match=rf"'{variant}' of .* cannot be withdrawn; give champion, challenger or shadow"
    ):
        promoted.withdraw(MODEL, variant, _WHY)
    assert len(promoted.list_moves(MODEL)) == 1


@pytest.mark.parametrize("variant", ["challenger", "shadow"])
def test_who_is_not_there_cannot_be_withdrawn(promoted: Registry, variant: str) -> None:
    with pytest.raises(NotFoundError, match=f"delays has no {variant} to withdraw; .*registry traffic"):
        promoted.withdraw(MODEL, variant, _WHY)


@pytest.mark.parametrize("why", ["", " \n"])
def test_a_move_needs_a_reason(promoted: Registry, why: str) -> None:
    with pytest.raises(InputError, match="challenge of delays needs a reason"):
        promoted.challenge(MODEL, "1.0.1", 0.1, why)
    with pytest.raises(InputError, match="shadow of delays needs a reason"):
        promoted.shadow(MODEL, "1.0.1", why)
    promoted.shadow(MODEL, "1.0.1", _WHY)
    with pytest.raises(InputError, match="withdraw of delays needs a reason"):
        promoted.withdraw(MODEL, "shadow", why)
    assert len(promoted.list_moves(MODEL)) == 2


def test_an_unknown_version_is_named_beside_the_known_ones(promoted: Registry) -> None:
    with pytest.raises(NotFoundError, match=r"no version 2.0.0; registered are: 1.1.0, 1.0.1, 1.0.0"):
        promoted.challenge(MODEL, "2.0.0", 0.1, _WHY)
    with pytest.raises(NotFoundError, match=r"no version 2.0.0"):
        promoted.shadow(MODEL, "2.0.0", _WHY)


def test_a_damaged_version_never_takes_part(promoted: Registry, workspace: Workspace, releases: list[Release]) -> None:
    _damage(workspace, releases[1])
    with pytest.raises(ReleaseError, match=GRAPH):
        promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    with pytest.raises(ReleaseError, match=GRAPH):
        promoted.shadow(MODEL, "1.0.1", _WHY)
    assert _aliases(promoted) == {"champion": "1.0.0"}
    assert len(promoted.list_moves(MODEL)) == 1


def test_one_that_was_damaged_meanwhile_can_be_withdrawn(
    promoted: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    _damage(workspace, releases[1])
    assert _tell(promoted.withdraw(MODEL, "challenger", "it cannot be read")) == {"champion": "1.0.0"}


def test_withdrawing_again_writes_the_traffic_file_that_was_not_written(
    promoted: Registry, workspace: Workspace
) -> None:
    """As after a crash, or on a full disk, between the record and the file."""
    file = Path(workspace.home.store) / "traffic" / f"{MODEL}.json"
    promoted.challenge(MODEL, "1.0.1", 0.1, _WHY)
    stale = file.read_bytes()
    traffic = promoted.withdraw(MODEL, "challenger", _WHY)
    file.write_bytes(stale)
    assert promoted.withdraw(MODEL, "challenger", _WHY) == traffic
    assert promoted.store.read_traffic(MODEL) == traffic
    with pytest.raises(NotFoundError, match="no challenger to withdraw"):
        promoted.withdraw(MODEL, "challenger", _WHY)
    assert examine(promoted, workspace.home.candidates) == []
