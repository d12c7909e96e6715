"""The doctor: every difference is named in a sentence, and mended where a machine can."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace
from support.releases import make_record

from athanor.registry.care.doctor import examine
from athanor.registry.care.findings import Finding
from athanor.registry.history import CHAMPION, Move, Registered, digest_record
from athanor.registry.registry import Registry
from athanor.release.files import GRAPH, Release
from athanor.release.traffic import Served, Traffic

_WHY: Final = "to see"


@pytest.fixture(scope="module")
def prepared(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = filled.copy(tmp_path_factory.mktemp("moved"))
    registry = workspace.open()
    registry.promote(MODEL, "1.0.0", _WHY)
    registry.promote(MODEL, "1.0.1", _WHY)
    return workspace


@pytest.fixture
def moved(workspace: Workspace, prepared: Workspace) -> Registry:
    """A registry whose champion is 1.0.1, and was 1.0.0."""
    workspace.reset(prepared)
    return workspace.open()


def _release(workspace: Workspace, registry: Registry, version: str) -> Path:
    return workspace.home.store / "releases" / MODEL / registry.find_version(MODEL, version).digest


def _traffic(workspace: Workspace) -> Path:
    return workspace.home.store / "traffic" / f"{MODEL}.json"


def _served(version: Registered) -> Served:
    return Served(digest=version.digest, semantic_version=version.semantic_version)


def _examine(registry: Registry, workspace: Workspace, mend: bool = False) -> list[Finding]:
    return examine(registry, workspace.home.candidates, mend)


def test_what_agrees_is_left_alone(moved: Registry, workspace: Workspace) -> None:
    before = _traffic(workspace).stat().st_mtime_ns
    assert _examine(moved, workspace) == _examine(moved, workspace, mend=True) == []
    assert _traffic(workspace).stat().st_mtime_ns == before


def test_an_empty_registry_is_in_order(registry: Registry, workspace: Workspace) -> None:
    assert _examine(registry, workspace) == []


def _remove_traffic(registry: Registry, workspace: Workspace) -> None:
    _traffic(workspace).unlink()


def _break_traffic(registry: Registry, workspace: Workspace) -> None:
    _traffic(workspace).write_text("{}")


def _publish_another(registry: Registry, workspace: Workspace) -> None:
    other = registry.find_version(MODEL, "1.1.0")
    registry.store.write_traffic(Traffic(model=MODEL, revision=9, champion=_served(other)))


def _record_a_move_alone(registry: Registry, workspace: Workspace) -> None:
    """As a process that was killed then has left it."""
    last, other = registry.list_moves(MODEL)[-1], registry.find_version(MODEL, "1.1.0")
    move = replace(
        last,
        revision=last.revision + 1,
        from_version=last.semantic_version,
        from_digest=last.digest,
        semantic_version=other.semantic_version,
        digest=other.digest,
        traffic=Traffic(model=MODEL, revision=last.revision + 1, champion=_served(other)),
        previous=digest_record(last.tag[1]),
    )
    registry.keep(MODEL, moves=[move])


def _take_the_alias_away(registry: Registry, workspace: Workspace) -> None:
    registry.client.delete_registered_model_alias(MODEL, CHAMPION)


def _forget_a_training(registry: Registry, workspace: Workspace) -> None:
    registry.runs.remove(MODEL, registry.find_version(MODEL, "1.0.0").run)


def _begin_a_record(registry: Registry, workspace: Workspace) -> None:
    run = registry.record(make_record(status="tuned"))
    registry.client.update_run(run, status="RUNNING")


def _publish_alone(registry: Registry, workspace: Workspace) -> None:
    folder = workspace.train(seed=7, provenance={"is_clean": False})
    shutil.copytree(folder, workspace.home.store / "releases" / MODEL / folder.name)


def _damage(registry: Registry, workspace: Workspace) -> None:
    (_release(workspace, registry, "1.0.1") / GRAPH).write_bytes(b"")


def _lose(registry: Registry, workspace: Workspace) -> None:
    shutil.rmtree(_release(workspace, registry, "1.0.0"))


@pytest.mark.parametrize(
    ("spoil", "words", "champion"),
    [
        (_remove_traffic, "by the last move, 2, champion is 1.0.1; there is no traffic file", "1.0.1"),
        (_break_traffic, "by the last move, 2, champion is 1.0.1; .*not a traffic file", "1.0.1"),
        (_publish_another, "by the traffic file, of revision 9, champion is 1.1.0", "1.0.1"),
        (_record_a_move_alone, "the record move.000003 is missing in MLflow", "1.1.0"),
        (_take_the_alias_away, "in MLflow champion is no version", "1.0.1"),
        (_forget_a_training, "the training of version 1.0.0 is not recorded", "1.0.1"),
        (_begin_a_record, "the record of a training, run [0-9a-f]{32}, was never finished", "1.0.1"),
        (_publish_alone, "the store holds release [0-9a-f]{12}, which has no version", "1.0.1"),
        (_damage, f"no intact copy of version 1.0.1: .*{GRAPH}", "1.0.1"),
        (_lose, "no intact copy of version 1.0.0: ", "1.0.1"),
    ],
)
def test_what_differs_is_named_and_mended(
    moved: Registry, workspace: Workspace, spoil: Callable[[Registry, Workspace], None], words: str, champion: str
) -> None:
    spoil(moved, workspace)
    (found, *rest) = _examine(moved, workspace)
    assert re.search(words, found.what)
    assert (found.model, found.is_mended) == (MODEL, False)
    assert found.remedy
    # What follows from it may be named too, as long as it is not mended.
    assert all("by the last move" in other.what or "ledger" in other.what for other in rest)
    mended = _examine(moved, workspace, mend=True)
    assert mended[0].what == found.what
    assert all(finding.is_mended for finding in mended)
    assert _examine(moved, workspace) == []
    assert moved.store.read_traffic(MODEL).require_champion().semantic_version == champion
    assert [v.semantic_version for v in moved.list_versions(MODEL) if v.aliases] == [champion]


def test_what_was_being_registered_is_marked_as_it_would_have_been(moved: Registry, workspace: Workspace) -> None:
    _publish_alone(moved, workspace)
    _examine(moved, workspace, mend=True)
    newest = moved.list_versions(MODEL)[0]
    assert (newest.semantic_version, newest.is_clean) == ("1.2.0", False)


def _lose_for_good(registry: Registry, workspace: Workspace) -> None:
    _lose(registry, workspace)
    shutil.rmtree(workspace.home.candidates)


def _write_unchained(registry: Registry, moves: Sequence[Move]) -> None:
    """Records from before there was a chain, which would have shown the change."""
    records = dict(replace(move, previous=None).tag for move in moves)
    ledger = registry.store.read_ledger(MODEL)
    registry.store.write_ledger(MODEL, ledger.model_copy(update={"moves": records}))


def _lose_a_move(registry: Registry, workspace: Workspace) -> None:
    _write_unchained(registry, registry.list_moves(MODEL)[1:])


def _rewrite_a_move(registry: Registry, workspace: Workspace) -> None:
    other = Served(digest="0" * 64, semantic_version="9.9.9")
    traffic = Traffic(model=MODEL, revision=1, champion=other)
    first, *others = registry.list_moves(MODEL)
    _write_unchained(registry, [replace(first, **other.model_dump(), traffic=traffic), *others])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_lose_for_good, ["no intact copy of version 1.0.0"]),
        (_lose_a_move, ["move 1 is missing from the history; the next one is 2"]),
        (
            _rewrite_a_move,
            [
                "version 9.9.9 was deleted in MLflow, and the store has no copy of release 000000000000",
                "move 1 names version 9.9.9, which is not registered",
                "move 2 starts from 1.0.0, which was not champion then",
            ],
        ),
    ],
)
def test_what_only_people_can_mend_is_named_and_left(
    moved: Registry, workspace: Workspace, spoil: Callable[[Registry, Workspace], None], words: list[str]
) -> None:
    spoil(moved, workspace)
    # MLflow gets the records of the ledger.
    _examine(moved, workspace, mend=True)
    found = _examine(moved, workspace, mend=True)
    assert len(found) == len(words)
    assert all(expected in finding.what for expected, finding in zip(words, found, strict=True))
    assert not any(finding.is_mended or finding.remedy for finding in found)


def test_an_alias_that_no_move_gave_is_taken_away(
    registered: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    registered.client.set_registered_model_alias(MODEL, CHAMPION, "2")
    (found,) = _examine(registered, workspace, mend=True)
    assert found.what == "1.0.1 is champion by its alias, and no move made it so"
    assert not any(version.aliases for version in registered.list_versions(MODEL))


def test_a_traffic_file_that_no_move_published_is_named(registered: Registry, workspace: Workspace) -> None:
    _publish_another(registered, workspace)
    (found,) = _examine(registered, workspace, mend=True)
    assert found.what == "there is a traffic file, but no move published it; promote a version"
    assert not found.is_mended


def test_what_cannot_be_mended_says_why(moved: Registry, workspace: Workspace) -> None:
    """The number of a new version depends on the newest, which is lost."""
    _publish_alone(moved, workspace)
    shutil.rmtree(_release(workspace, moved, "1.1.0"))
    shutil.rmtree(workspace.home.candidates)
    unregistered, lost = _examine(moved, workspace, mend=True)
    assert "which has no version; mending failed: " in unregistered.what
    assert not unregistered.is_mended
    assert "no intact copy of version 1.1.0" in lost.what
