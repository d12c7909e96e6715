"""The commands of the registry: tables for people, JSON for machines, and exit statuses."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from support.registries import MODEL, Workspace
from typer.testing import CliRunner, Result

from athanor.cli.registry.app import app
from athanor.errors import AthanorError, InputError, NotFoundError, ReleaseError
from athanor.registry.registry import Registry
from athanor.release.files import Release

_WIDE: Final = {"COLUMNS": "240"}


def _run(workspace: Workspace, command: str, *arguments: object) -> Result:
    home = () if command in ("keygen",) else ("--home", str(workspace.path))
    return CliRunner().invoke(app, [command, *map(str, arguments), *home], env=_WIDE)


def _tell(workspace: Workspace, command: str, *arguments: object) -> str:
    done = _run(workspace, command, *arguments)
    assert done.exception is None, done.exception
    return str(done.stdout)


def _ask(workspace: Workspace, command: str, *arguments: object) -> Any:
    return json.loads(_tell(workspace, command, *arguments, "--json"))


def _refused(workspace: Workspace, command: str, *arguments: object) -> AthanorError:
    error = _run(workspace, command, *arguments).exception
    assert isinstance(error, AthanorError), error
    return error


def test_registering_tells_version_and_whether_it_is_new(workspace: Workspace, releases: list[Release]) -> None:
    answer = _ask(workspace, "register", MODEL, releases[0].digest[:8])
    assert answer == {
        "model": MODEL,
        "semantic version": "1.0.0",
        "digest": releases[0].digest,
        "new": True,
        "clean": True,
    }
    assert _ask(workspace, "register", MODEL, releases[0].digest)["new"] is False
    assert "1.0.0" in _tell(workspace, "register", MODEL, releases[0].digest)
    error = _refused(workspace, "register", MODEL, "x")
    assert isinstance(error, NotFoundError)
    assert "0 releases in" in str(error)


def test_what_is_in_no_commit_needs_a_word_and_is_marked(workspace: Workspace) -> None:
    digest = workspace.train(seed=7, provenance={"is_clean": False}, record={"uncommitted": ["src/late.py"]}).name
    error = _refused(workspace, "register", MODEL, digest)
    assert isinstance(error, InputError)
    assert "src/late.py" in str(error)
    assert "--allow-dirty" in str(error)
    _tell(workspace, "register", MODEL, digest, "--allow-dirty")
    assert _ask(workspace, "list", MODEL)[0]["is_clean"] is False
    assert "NO" in _tell(workspace, "list", MODEL)
    assert _ask(workspace, "show", MODEL, "1.0.0")["is_clean"] is False


def test_the_champion_moves_with_a_reason(registered: Registry, workspace: Workspace, releases: list[Release]) -> None:
    assert _ask(workspace, "promote", MODEL, "1.0.0", "-m", "the first")["revision"] == 1
    assert "1.1.0" in _tell(workspace, "promote", MODEL, releases[2].digest[:8], "--reason", "the second")
    assert _ask(workspace, "rollback", MODEL, "-m", "it was worse")["champion"]["semantic_version"] == "1.0.0"
    moves = _ask(workspace, "history", MODEL)
    assert [(m["from_version"], m["semantic_version"], m["why"], m["gates"]) for m in moves] == [
        (None, "1.0.0", "the first", "1 of 1 passed"),
        ("1.0.0", "1.1.0", "the second", "1 of 1 passed"),
        ("1.1.0", "1.0.0", "it was worse", "1 of 1 passed"),
    ]
    assert "it was worse" in _tell(workspace, "history", MODEL)
    assert [v["aliases"] for v in _ask(workspace, "list", MODEL)] == [[], [], ["champion"]]
    assert "champion" in _tell(workspace, "list", MODEL)


@pytest.mark.parametrize("arguments", [("promote", MODEL, "1.0.0"), ("rollback", MODEL)])
def test_without_a_reason_the_command_is_no_command(
    registered: Registry, workspace: Workspace, arguments: tuple[str, ...]
) -> None:
    done = _run(workspace, *arguments)
    assert done.exit_code == 2
    assert "--reason" in done.output
    assert registered.list_moves(MODEL) == []


def test_one_version_is_shown_whole(registered: Registry, workspace: Workspace, releases: list[Release]) -> None:
    shown = _ask(workspace, "show", MODEL, "1.0.0")
    assert (shown["digest"], shown["semantic_version"]) == (releases[0].digest, "1.0.0")
    assert shown["metrics"] == {"roc_auc": {"value": 0.75, "low": 0.7, "high": 0.8}}
    assert shown["gates"][0]["gate"] == "floor of roc_auc"
    assert shown["identity"]["parameters"] == {"middle": 1000.0}
    assert shown["provenance"]["commit"] == "0123456789abcdef"
    assert shown["signatures"] == []
    table = _tell(workspace, "show", MODEL, releases[0].digest[:8])
    for words in (releases[0].digest, "floor of roc_auc", "0.7000 to 0.8000", "middle", "0123456789abcdef"):
        assert words in table


def test_two_versions_are_compared(registered: Registry, workspace: Workspace) -> None:
    found = _ask(workspace, "diff", MODEL, "1.0.0", "1.1.0")
    assert found["parts"] == {"algorithm": ["by distance", "other"], "snapshot": ["5" * 64, "6" * 64]}
    assert found["metrics"] == {"roc_auc": [0.75, 0.75]}
    assert (found["contract"], found["libraries"]) == ([], {})
    assert found["is_same_graph"] is found["gives_same_answers"] is (found["graph"][0] == found["graph"][1])
    assert found["is_same_graph"]
    table = _tell(workspace, "diff", MODEL, "1.0.0", "1.1.0")
    for words in ("no change", "by distance", "+0.0000", "the same graph: both versions"):
        assert words in table


def test_collecting_tells_what_would_go(registered: Registry, workspace: Workspace) -> None:
    digest = workspace.train(seed=7).name
    would = _ask(workspace, "gc", MODEL, "--older-than", "0", "--dry-run")
    assert (would["candidates"], would["dry_run"], would["registered"]) == ([digest], True, 3)
    assert digest in _tell(workspace, "gc", MODEL, "--older-than", "0")
    assert not (workspace.home.candidates / MODEL / digest).exists()


def test_the_doctor_ends_with_1_where_something_differs_and_with_0_where_it_is_mended(
    registered: Registry, workspace: Workspace
) -> None:
    assert _ask(workspace, "doctor") == {"differences": [], "left": 0}
    registered.promote(MODEL, "1.0.0", "to see")
    (workspace.home.store / "traffic" / f"{MODEL}.json").unlink()
    sick = _run(workspace, "doctor")
    assert sick.exit_code == 1
    assert "there is no traffic file" in sick.stdout
    assert _ask(workspace, "doctor", "--mend")["differences"][0]["is_mended"] is True
    assert "No differences" in _tell(workspace, "doctor")


def test_a_signed_version_is_proven_and_another_key_proves_nothing(
    registered: Registry, workspace: Workspace, tmp_path: Path, releases: list[Release]
) -> None:
    keys = [tmp_path / name for name in ("ours", "theirs")]
    public = [_ask(workspace, "keygen", key)["public key"] for key in keys]
    error = _refused(workspace, "verify", MODEL, "1.0.0", "--key", public[0])
    assert isinstance(error, ReleaseError)
    signed = _ask(workspace, "sign", MODEL, "1.0.0", "--key", keys[0])
    assert signed["digest"] == releases[0].digest
    assert releases[0].digest in _tell(workspace, "verify", MODEL, "1.0.0", "--key", public[0])
    assert _ask(workspace, "verify", MODEL, "1.0.0", "--key", public[0])["key_id"] == signed["key_id"]
    assert isinstance(_refused(workspace, "verify", MODEL, "1.0.0", "--key", public[1]), ReleaseError)
    assert _ask(workspace, "show", MODEL, "1.0.0")["signatures"] == [signed]
    assert signed["key_id"] in _tell(workspace, "show", MODEL, "1.0.0")
