"""The commands of the registry: tables for people, JSON for machines, and exit statuses."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from support.registries import MODEL, Place
from typer.testing import CliRunner, Result

from athanor.cli.registry.app import app
from athanor.errors import AthanorError, InputError, NotFoundError, ReleaseError
from athanor.registry.registry import Registry
from athanor.release.files import Release

_WIDE: Final = {"COLUMNS": "240"}


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("athanor.cli.shared.terminal.out.width", 240)


def _run(place: Place, command: str, *arguments: object) -> Result:
    home = () if command in ("keygen",) else ("--home", str(place.path))
    return CliRunner().invoke(app, [command, *map(str, arguments), *home], env=_WIDE)


def _tell(place: Place, command: str, *arguments: object) -> str:
    done = _run(place, command, *arguments)
    assert done.exception is None, done.exception
    return str(done.stdout)


def _ask(place: Place, command: str, *arguments: object) -> Any:
    return json.loads(_tell(place, command, *arguments, "--json"))


def _refused(place: Place, command: str, *arguments: object) -> AthanorError:
    error = _run(place, command, *arguments).exception
    assert isinstance(error, AthanorError), error
    return error


def test_registering_tells_version_and_whether_it_is_new(place: Place, releases: list[Release]) -> None:
    told = _ask(place, "register", MODEL, releases[0].digest[:8])
    assert told == {"semantic version": "1.0.0", "digest": releases[0].digest, "new": True, "clean": True}
    assert _ask(place, "register", MODEL, releases[0].digest)["new"] is False
    assert "1.0.0" in _tell(place, "register", MODEL, releases[0].digest)
    error = _refused(place, "register", MODEL, "x")
    assert isinstance(error, NotFoundError)
    assert "0 releases in" in str(error)


def test_what_is_in_no_commit_needs_a_word_and_is_marked(place: Place) -> None:
    digest = place.train(seed=7, provenance={"is_clean": False}).name
    error = _refused(place, "register", MODEL, digest)
    assert isinstance(error, InputError)
    assert "--allow-dirty" in str(error)
    _tell(place, "register", MODEL, digest, "--allow-dirty")
    assert _ask(place, "list", MODEL)[0]["is_clean"] is False
    assert "NO" in _tell(place, "list", MODEL)
    assert _ask(place, "show", MODEL, "1.0.0")["is_clean"] is False


def test_the_champion_moves_with_a_reason(registered: Registry, place: Place, releases: list[Release]) -> None:
    assert _ask(place, "promote", MODEL, "1.0.0", "-m", "the first")["revision"] == 1
    assert "1.1.0" in _tell(place, "promote", MODEL, releases[2].digest[:8], "--reason", "the second")
    assert _ask(place, "rollback", MODEL, "-m", "it was worse")["champion"]["semantic_version"] == "1.0.0"
    moves = _ask(place, "history", MODEL)
    assert [(m["from_version"], m["semantic_version"], m["why"], m["gates"]) for m in moves] == [
        (None, "1.0.0", "the first", "1 of 1 passed"),
        ("1.0.0", "1.1.0", "the second", "1 of 1 passed"),
        ("1.1.0", "1.0.0", "it was worse", "1 of 1 passed"),
    ]
    assert "it was worse" in _tell(place, "history", MODEL)
    assert [v["aliases"] for v in _ask(place, "list", MODEL)] == [[], [], ["champion"]]
    assert "champion" in _tell(place, "list", MODEL)


@pytest.mark.parametrize("arguments", [("promote", MODEL, "1.0.0"), ("rollback", MODEL)])
def test_without_a_reason_the_command_is_no_command(
    registered: Registry, place: Place, arguments: tuple[str, ...]
) -> None:
    done = _run(place, *arguments)
    assert done.exit_code == 2
    assert "--reason" in done.output
    assert registered.list_moves(MODEL) == []


def test_one_version_is_shown_whole(registered: Registry, place: Place, releases: list[Release]) -> None:
    shown = _ask(place, "show", MODEL, "1.0.0")
    assert (shown["digest"], shown["semantic_version"]) == (releases[0].digest, "1.0.0")
    assert shown["metrics"] == {"roc_auc": {"value": 0.75, "low": 0.7, "high": 0.8}}
    assert shown["gates"][0]["gate"] == "floor of roc_auc"
    assert shown["identity"]["parameters"] == {"middle": 1000.0}
    assert shown["provenance"]["commit"] == "0123456789abcdef"
    assert shown["signatures"] == []
    table = _tell(place, "show", MODEL, releases[0].digest[:8])
    for words in (releases[0].digest, "floor of roc_auc", "0.7000 to 0.8000", "middle", "0123456789abcdef"):
        assert words in table


def test_two_versions_are_compared(registered: Registry, place: Place) -> None:
    found = _ask(place, "diff", MODEL, "1.0.0", "1.1.0")
    assert found["parts"] == {"algorithm": ["by distance", "other"], "snapshot": ["5" * 64, "6" * 64]}
    assert found["metrics"] == {"roc_auc": [0.75, 0.75]}
    assert (found["contract"], found["libraries"]) == ([], {})
    table = _tell(place, "diff", MODEL, "1.0.0", "1.1.0")
    for words in ("no change", "by distance", "+0.0000"):
        assert words in table


def test_collecting_tells_what_would_go(registered: Registry, place: Place) -> None:
    digest = place.train(seed=7).name
    would = _ask(place, "gc", MODEL, "--older-than", "0", "--dry-run")
    assert (would["candidates"], would["dry_run"], would["registered"]) == ([digest], True, 3)
    assert digest in _tell(place, "gc", MODEL, "--older-than", "0")
    assert not (place.home.candidates / MODEL / digest).exists()


def test_the_doctor_ends_with_1_where_something_differs_and_with_0_where_it_is_mended(
    registered: Registry, place: Place
) -> None:
    assert _ask(place, "doctor") == {"differences": [], "left": 0}
    registered.promote(MODEL, "1.0.0", "to see")
    (place.home.store / "traffic" / f"{MODEL}.json").unlink()
    sick = _run(place, "doctor")
    assert sick.exit_code == 1
    assert "there is no traffic file" in sick.stdout
    assert _ask(place, "doctor", "--mend")["differences"][0]["is_mended"] is True
    assert "No differences" in _tell(place, "doctor")


def test_a_signed_version_is_proven_and_another_key_proves_nothing(
    registered: Registry, place: Place, tmp_path: Path, releases: list[Release]
) -> None:
    keys = [tmp_path / name for name in ("ours", "theirs")]
    public = [_ask(place, "keygen", key)["public key"] for key in keys]
    error = _refused(place, "verify", MODEL, "1.0.0", "--key", public[0])
    assert isinstance(error, ReleaseError)
    signed = _ask(place, "sign", MODEL, "1.0.0", "--key", keys[0])
    assert signed["digest"] == releases[0].digest
    assert releases[0].digest in _tell(place, "verify", MODEL, "1.0.0", "--key", public[0])
    assert _ask(place, "verify", MODEL, "1.0.0", "--key", public[0])["key_id"] == signed["key_id"]
    assert isinstance(_refused(place, "verify", MODEL, "1.0.0", "--key", public[1]), ReleaseError)
    assert _ask(place, "show", MODEL, "1.0.0")["signatures"] == [signed]
    assert signed["key_id"] in _tell(place, "show", MODEL, "1.0.0")
