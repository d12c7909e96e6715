"""The doctor and the traffic: aliases, history and traffic file of challenger and shadow."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from support.registries import MODEL, Workspace

from athanor.registry.care.doctor import examine
from athanor.registry.care.findings import Finding
from athanor.registry.history import Move
from athanor.registry.registry import Registry
from athanor.release.traffic import Traffic

_WHY: Final = "to see"


@pytest.fixture(scope="module")
def prepared(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = filled.copy(tmp_path_factory.mktemp("busy"))
    registry = workspace.open()
    registry.promote(MODEL, "1.0.0", _WHY)
    registry.challenge(MODEL, "1.0.1", 0.1, _WHY)
    registry.shadow(MODEL, "1.1.0", _WHY)
    return workspace


@pytest.fixture
def busy(workspace: Workspace, prepared: Workspace) -> Registry:
    """A registry whose first champion is 1.0.0, with challenger 1.0.1 and shadow 1.1.0."""
    workspace.reset(prepared)
    return workspace.open()


def _examine(registry: Registry, workspace: Workspace, mend: bool = False) -> list[Finding]:
    return examine(registry, workspace.home.candidates, mend)


def _aliases(registry: Registry) -> dict[str, str]:
    return {alias: v.semantic_version for v in registry.list_versions(MODEL) for alias in v.aliases}


def _write(registry: Registry, **changed: Any) -> None:
    registry.store.write_traffic(registry.store.read_traffic(MODEL).model_copy(update=changed))


def _lose_the_challenger(registry: Registry) -> None:
    _write(registry, challenger=None)


def _change_the_weight(registry: Registry) -> None:
    challenger = registry.store.read_traffic(MODEL).challenger
    assert challenger is not None
    _write(registry, challenger=challenger.model_copy(update={"weight": 0.9}))


def _add_an_old_revision(registry: Registry) -> None:
    _write(registry, revision=2)


def _take_the_alias_away(registry: Registry) -> None:
    registry.client.delete_registered_model_alias(MODEL, "shadow")


def _exchange_two_aliases(registry: Registry) -> None:
    registry.client.set_registered_model_alias(MODEL, "challenger", "3")
    registry.client.set_registered_model_alias(MODEL, "shadow", "2")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            _lose_the_challenger,
            r"with weight 0.1; by the traffic file, of revision 3, champion is 1.0.0, shadow is 1.1.0$",
        ),
        (_change_the_weight, r"with weight 0.1; by the traffic file, of revision 3, .*with weight 0.9$"),
        (_add_an_old_revision, r"by the last move, 3, .*by the traffic file, of revision 2, "),
        (_take_the_alias_away, r"by the last move, 3, shadow is 1.1.0; in MLflow shadow is no version$"),
        (_exchange_two_aliases, r"challenger is 1.0.1, shadow is 1.1.0; .* challenger is 1.1.0, shadow is 1.0.1$"),
    ],
)
def test_what_differs_is_named_and_mended(
    busy: Registry, workspace: Workspace, spoil: Callable[[Registry], None], words: str
) -> None:
    traffic = busy.store.read_traffic(MODEL)
    spoil(busy)
    (found,) = _examine(busy, workspace)
    assert re.search(words, found.what), found.what
    assert not found.is_mended
    (mended,) = _examine(busy, workspace, mend=True)
    assert (mended.what, mended.is_mended) == (found.what, True)
    assert _examine(busy, workspace) == []
    assert busy.store.read_traffic(MODEL) == traffic
    assert _aliases(busy) == {"champion": "1.0.0", "challenger": "1.0.1", "shadow": "1.1.0"}


@pytest.mark.parametrize("alias", ["challenger", "shadow"])
def test_an_alias_that_no_move_gave_is_taken_away(registered: Registry, workspace: Workspace, alias: str) -> None:
    registered.client.set_registered_model_alias(MODEL, alias, "2")
    (found,) = _examine(registered, workspace, mend=True)
    assert found.what == f"1.0.1 is {alias} by its alias, and no move made it so"
    assert found.is_mended
    assert _aliases(registered) == {}


def test_a_tag_that_no_move_gave_is_taken_away(registered: Registry, workspace: Workspace) -> None:
    registered.client.set_model_version_tag(MODEL, "2", "pinned", "pinned")
    (found,) = _examine(registered, workspace, mend=True)
    assert found.what == "1.0.1 is pinned by its tag, and no move made it so"
    assert found.is_mended
    assert _examine(registered, workspace) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda registry: registry.client.delete_model_version_tag(MODEL, "2", "pinned"),
            r"pinned is 1.0.0, 1.0.1; in MLflow pinned is 1.0.0$",
        ),
        (
            lambda registry: registry.client.set_model_version_tag(MODEL, "3", "pinned", "pinned"),
            r"pinned is 1.0.0, 1.0.1; in MLflow pinned is 1.0.0, 1.0.1, 1.1.0$",
        ),
        (
            lambda registry: _write(registry, pinned=()),
            r"pinned is 1.0.0, pinned is 1.0.1, with .*; by the traffic file, .*shadow is 1.1.0, with weight 0.1$",
        ),
    ],
)
def test_a_pin_that_differs_is_named_and_mended(
    busy: Registry, workspace: Workspace, spoil: Callable[[Registry], None], words: str
) -> None:
    busy.pin(MODEL, "1.0.0", _WHY)
    traffic = busy.pin(MODEL, "1.0.1", _WHY)
    spoil(busy)
    (found,) = _examine(busy, workspace, mend=True)
    assert re.search(words, found.what), found.what
    assert found.is_mended
    assert _examine(busy, workspace) == []
    assert busy.store.read_traffic(MODEL) == traffic


@pytest.mark.parametrize(
    ("rewrite", "words"),
    [
        (lambda move: {"traffic": move.traffic.model_copy(update={"pinned": ()})}, "move 4, a pin, records traffic"),
        (lambda move: {"kind": "unpin"}, "move 4 starts from None, which was not pinned then|move 4, a unpin, records"),
        (lambda move: {"from_digest": "0" * 64, "from_version": "9.9.9"}, "starts from 9.9.9, which was not pinned"),
    ],
)
def test_a_pin_that_was_rewritten_is_named(
    busy: Registry, workspace: Workspace, rewrite: Callable[[Move], dict[str, Any]], words: str
) -> None:
    busy.pin(MODEL, "1.0.0", _WHY)
    moves = busy.list_moves(MODEL)
    moves[-1] = replace(moves[-1], **rewrite(moves[-1]))
    records = dict(replace(move, previous=None).tag for move in moves)
    busy.store.write_ledger(MODEL, busy.store.read_ledger(MODEL).model_copy(update={"moves": records}))
    assert any(re.search(words, finding.what) for finding in _examine(busy, workspace))


def _without(traffic: Traffic, variant: str) -> Traffic:
    return traffic.model_copy(update={variant: None})


def _with_weight(move: Move, weight: float) -> Traffic:
    challenger = move.traffic.challenger
    assert challenger is not None
    return move.traffic.model_copy(update={"challenger": challenger.model_copy(update={"weight": weight})})


@pytest.mark.parametrize(
    ("revision", "rewrite", "words"),
    [
        # The last: what follows from it is mended as it says, and it is named all the same.
        (3, lambda move: {"traffic": _without(move.traffic, "challenger")}, "move 3, a shadow, records traffic"),
        (3, lambda move: {"traffic": _without(move.traffic, "shadow")}, "move 3, a shadow, records traffic"),
        (3, lambda move: {"traffic": _with_weight(move, 0.2)}, "move 3, a shadow, records traffic"),
        (3, lambda move: {"from_digest": "0" * 64, "from_version": "9.9.9"}, "move 3 starts from 9.9.9, which was not"),
        (3, lambda move: {"kind": "withdraw"}, "move 3, a withdraw, records traffic that does not follow"),
        (2, lambda move: {"traffic": _without(move.traffic, "challenger")}, "move 2, a challenge, records traffic"),
        (1, lambda move: {"variant": "shadow"}, "move 1, a promote, records traffic that does not follow"),
    ],
)
def test_a_history_that_was_rewritten_is_named_and_left_to_people(
    busy: Registry, workspace: Workspace, revision: int, rewrite: Callable[[Move], dict[str, Any]], words: str
) -> None:
    moves = busy.list_moves(MODEL)
    moves[revision - 1] = replace(moves[revision - 1], **rewrite(moves[revision - 1]))
    # From before there was a chain, which would have shown it.
    records = dict(replace(move, previous=None).tag for move in moves)
    ledger = busy.store.read_ledger(MODEL)
    busy.store.write_ledger(MODEL, ledger.model_copy(update={"moves": records}))
    # MLflow gets the records of the ledger.
    _examine(busy, workspace, mend=True)
    found, *_ = _examine(busy, workspace, mend=True)
    assert words in found.what
    assert (found.is_mended, found.remedy) == (False, "")
    again, *rest = _examine(busy, workspace, mend=True)
    assert words in again.what
    assert not any(finding.remedy for finding in rest)
