"""What is changed in MLflow by its own client: the doctor names it, and writes again what was recorded."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from support.registries import MODEL, Workspace

from athanor.errors import ReleaseError
from athanor.registry.care.doctor import examine
from athanor.registry.care.findings import Finding
from athanor.registry.history import digest_record, make_source
from athanor.registry.registry import Registry
from athanor.release.traffic import Served

_WHY: Final = "to see"


def _numbers(registry: Registry) -> dict[str, str]:
    return {version.digest: version.semantic_version for version in registry.list_versions(MODEL)}


def _delete(registry: Registry, version: str) -> None:
    registry.client.delete_model_version(MODEL, str(registry.find_version(MODEL, version).number))


def _examine(registry: Registry, workspace: Workspace, mend: bool = False) -> list[Finding]:
    return examine(registry, workspace.home.candidates, mend)


def _tag_version(name: str, value: str) -> Callable[[Registry], None]:
    return lambda registry: registry.client.set_model_version_tag(MODEL, "2", name, value)


def _untag_version(name: str) -> Callable[[Registry], None]:
    return lambda registry: registry.client.delete_model_version_tag(MODEL, "2", name)


def _run(registry: Registry) -> str:
    return str(registry.client.get_model_version(MODEL, "2").run_id)


def _set_stage(registry: Registry) -> None:
    with pytest.warns(FutureWarning):
        registry.client.transition_model_version_stage(MODEL, "2", "Production")


def _edit_record(registry: Registry) -> None:
    name, content = registry.list_moves(MODEL)[1].tag
    registry.client.set_registered_model_tag(MODEL, name, content.replace(_WHY, "another reason"))


def _forge_move(registry: Registry) -> None:
    """As `rollback` would have written it, chained and all."""
    last, first = registry.list_moves(MODEL)[-1], registry.find_version(MODEL, "1.0.0")
    traffic = last.traffic.model_copy(
        update={"revision": 4, "champion": Served(digest=first.digest, semantic_version="1.0.0")}
    )
    forged = replace(last, revision=4, digest=first.digest, traffic=traffic, previous=digest_record(last.tag[1]))
    registry.client.set_registered_model_tag(MODEL, *forged.tag)


def _forge_version(registry: Registry) -> None:
    registry.client.create_model_version(
        MODEL, make_source(MODEL, "f" * 64), tags={"semantic_version": "9.9.9", "digest": "f" * 64}
    )


_CHANGES: Final[dict[str, tuple[Callable[[Registry], object], str]]] = {
    "version deleted": (lambda r: _delete(r, "1.0.1"), "version 1.0.1 was deleted in MLflow"),
    "model deleted": (
        lambda r: r.client.delete_registered_model(MODEL),
        "the model was deleted in MLflow, with 3 versions and 3 moves",
    ),
    "model renamed": (lambda r: r.client.rename_registered_model(MODEL, "other"), "MLflow has it as other"),
    "version created": (
        lambda r: r.client.create_model_version(MODEL, "/somewhere"),
        "version 4 in MLflow was created outside of Athanor, from /somewhere",
    ),
    "version copied": (
        lambda r: r.client.create_model_version(MODEL, str(r.client.get_model_version(MODEL, "2").source)),
        "version 4 in MLflow was created outside",
    ),
    "number": (_tag_version("semantic_version", "1.1.0"), "tags of version 1.0.1 .*: semantic_version is 1.1.0"),
    "no number": (_untag_version("semantic_version"), "semantic_version is absent"),
    "digest": (_tag_version("digest", "0" * 64), "digest is 0000"),
    "no digest": (_untag_version("digest"), "digest is absent"),
    "clean": (_tag_version("is_clean", "false"), "is_clean is false"),
    "no clean": (_untag_version("is_clean"), "is_clean is absent"),
    "by": (_tag_version("by", "others"), "by is others"),
    "no by": (_untag_version("by"), "by is absent"),
    "own tag": (_tag_version("validated", "yes"), "validated is yes"),
    "stage": (_set_stage, "the stage Production of version 1.0.1 was set"),
    "own alias": (
        lambda r: r.client.set_registered_model_alias(MODEL, "production", "2"),
        "the alias production was set outside",
    ),
    "champion": (
        lambda r: r.client.set_registered_model_alias(MODEL, "champion", "2"),
        "champion is 1.1.0; in MLflow champion is 1.0.1",
    ),
    "challenger": (
        lambda r: r.client.set_registered_model_alias(MODEL, "challenger", "2"),
        "challenger is no version; in MLflow challenger is 1.0.1",
    ),
    "pin": (_tag_version("pinned", "pinned"), "pinned is no version; in MLflow pinned is 1.0.1"),
    "pin of another value": (_tag_version("pinned", "yes"), "tags of version 1.0.1 .*: pinned is yes"),
    "alias of a pin": (
        lambda r: r.client.set_registered_model_alias(MODEL, "pinned", "2"),
        "the alias pinned was set outside",
    ),
    "tag of the model": (
        lambda r: r.client.set_registered_model_tag(MODEL, "owner", "me"),
        "the tag owner of the model was set outside",
    ),
    "reason": (_edit_record, "the record move.000002 was changed in MLflow"),
    "unreadable move": (
        lambda r: r.client.set_registered_model_tag(MODEL, "move.000002", "{"),
        "the record move.000002 was changed in MLflow",
    ),
    "move deleted": (
        lambda r: r.client.delete_registered_model_tag(MODEL, "move.000001"),
        "the record move.000001 is missing in MLflow",
    ),
    "move made up": (
        lambda r: r.client.set_registered_model_tag(MODEL, "move.000004", "{}"),
        "the record move.000004 is in MLflow alone: no command of Athanor wrote it",
    ),
    "move forged": (_forge_move, "the record move.000004 is in MLflow alone"),
    "version forged": (_forge_version, "version 4 in MLflow was created outside of Athanor"),
    "metric of the training": (
        lambda r: r.client.log_metric(_run(r), "roc_auc", 1.0),
        "training of version 1.0.1 was changed outside of Athanor: .*roc_auc",
    ),
    "parameter of the training": (lambda r: r.client.log_param(_run(r), "depth", 3), "changed outside .*: .*depth"),
    "tag of the training": (lambda r: r.client.set_tag(_run(r), "gates", "all"), "changed outside .*: .*gates"),
    "name of the training": (lambda r: r.client.update_run(_run(r), name="best"), "changed outside .*: .*name"),
    "training deleted": (lambda r: r.client.delete_run(_run(r)), "the training of version 1.0.1 is not recorded"),
}


# Changes made together, where the doctor can tell them apart.
_TOGETHER: Final = (
    ["version deleted", "tag of the model", "reason"],
    ["model deleted"],
    ["model renamed"],
    ["unreadable move"],
    ["move made up"],
    ["move forged", "champion"],
    ["version forged"],
    ["pin", "alias of a pin"],
    ["pin of another value"],
    ["version created", "number", "champion", "move deleted", "training deleted"],
    ["version copied", "no number", "by", "own alias", "parameter of the training"],
    ["digest", "no clean", "own tag", "challenger", "tag of the training"],
    ["no digest", "clean", "no by", "stage", "name of the training", "metric of the training"],
)


def test_each_change_is_tried() -> None:
    assert sorted({name for names in _TOGETHER for name in names}) == sorted(_CHANGES)


@pytest.mark.parametrize("names", _TOGETHER, ids=", ".join)
def test_what_is_changed_outside_is_named_and_mended(moved: Registry, workspace: Workspace, names: list[str]) -> None:
    versions, moves, traffic = _numbers(moved), moved.list_moves(MODEL), moved.store.read_traffic(MODEL)
    for name in names:
        _CHANGES[name][0](moved)
    found = _examine(moved, workspace)
    for name in names:
        assert any(re.search(_CHANGES[name][1], finding.what) for finding in found), (name, found)
    assert all(finding.model == MODEL for finding in found)
    mended = _examine(moved, workspace, mend=True)
    assert all(finding.is_mended and finding.remedy for finding in mended), mended
    assert _examine(moved, workspace) == []
    assert (_numbers(moved), moved.list_moves(MODEL)) == (versions, moves)
    assert moved.store.read_traffic(MODEL) == traffic
    assert [v.semantic_version for v in moved.list_versions(MODEL) if v.aliases] == ["1.1.0"]


@pytest.mark.parametrize("name", ["version created", "version copied", "number", "no number", "digest", "no digest"])
def test_what_others_wrote_misleads_no_reader(moved: Registry, name: str) -> None:
    before = moved.list_versions(MODEL)
    _CHANGES[name][0](moved)
    assert moved.list_versions(MODEL) == before
    assert moved.rollback(MODEL, _WHY).require_champion().semantic_version == "1.0.1"


def test_a_deleted_version_without_a_copy_is_named_and_left(moved: Registry, workspace: Workspace) -> None:
    digest = moved.find_version(MODEL, "1.0.1").digest
    _delete(moved, "1.0.1")
    moved.store.remove(MODEL, digest)
    shutil.rmtree(workspace.home.candidates)
    found = _examine(moved, workspace, mend=True)
    assert found[0].what == f"version 1.0.1 was deleted in MLflow, and the store has no copy of release {digest[:12]}"
    assert not found[0].remedy


def _ledger(workspace: Workspace) -> Path:
    return workspace.home.store / "ledger" / f"{MODEL}.json"


def test_a_registry_from_before_there_was_a_ledger_gets_one(moved: Registry, workspace: Workspace) -> None:
    kept = _ledger(workspace).read_bytes()
    _ledger(workspace).unlink()
    (found,) = _examine(moved, workspace, mend=True)
    assert (found.what, found.is_mended) == ("the ledger in the store lacks 3 versions and 3 moves", True)
    assert _ledger(workspace).read_bytes() == kept


def test_a_damaged_ledger_is_written_again(moved: Registry, workspace: Workspace) -> None:
    kept = _ledger(workspace).read_bytes()
    _ledger(workspace).write_bytes(kept[:100])
    with pytest.raises(ReleaseError, match=r"is not a ledger: .*doctor --mend"):
        moved.list_versions(MODEL)
    (named,) = _examine(moved, workspace)
    (found,) = _examine(moved, workspace, mend=True)
    assert named.what == found.what
    assert found.is_mended
    assert _ledger(workspace).read_bytes() == kept


def test_a_lost_database_is_made_again_from_the_store(moved: Registry, workspace: Workspace) -> None:
    versions, moves = _numbers(moved), moved.list_moves(MODEL)
    for path in workspace.home.registry.glob("mlflow.db*"):
        path.unlink()
    again = workspace.open()
    assert all(finding.is_mended for finding in _examine(again, workspace, mend=True))
    assert (_numbers(again), again.list_moves(MODEL)) == (versions, moves)
