"""A champion that was withdrawn: its model answers no more, until a promotion or a roll-back brings it back."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from support.registries import MODEL, Workspace
from support.wires import make_release_of, next_major
from typer.testing import CliRunner

from athanor.cli.registry.app import app
from athanor.errors import AthanorError, InputError, NotFoundError
from athanor.registry.care.doctor import examine
from athanor.registry.registry import Registry
from athanor.release.signing.releases import make_key
from athanor.release.signing.traffic import sign_traffic, verify_traffic
from athanor.release.traffic import Traffic

_WHY: Final = "no caller is left"


@pytest.fixture
def busy(moved: Registry) -> Registry:
    """With champion 1.1.0, challenger 1.0.0, shadow 1.0.1, and 1.0.0 pinned too."""
    moved.challenge(MODEL, "1.0.0", 0.25, "to see")
    moved.shadow(MODEL, "1.0.1", "to see")
    moved.pin(MODEL, "1.0.0", "to see")
    return moved


def _ask(workspace: Workspace, *arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--home", str(workspace.path), "--json"])
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def _champion(traffic: Traffic) -> str:
    return traffic.require_champion().semantic_version


def test_all_roles_and_pins_end_in_one_move(busy: Registry, workspace: Workspace) -> None:
    before = busy.list_moves(MODEL)
    traffic = busy.withdraw(MODEL, "champion", _WHY)
    assert traffic == Traffic(model=MODEL, revision=7, champion=None) == busy.store.read_traffic(MODEL)
    *earlier, last = busy.list_moves(MODEL)
    assert earlier == before
    assert (last.kind, last.variant, last.traffic, last.why) == ("withdraw", "champion", traffic, _WHY)
    assert (last.from_version, last.semantic_version, last.gates) == ("1.1.0", "1.1.0", "")
    assert {version.aliases for version in busy.list_versions(MODEL)} == {()}
    assert {version.weight for version in busy.list_versions(MODEL)} == {None}
    assert examine(busy, workspace.home.candidates) == []


def test_the_file_names_no_champion(busy: Registry, workspace: Workspace) -> None:
    busy.withdraw(MODEL, "champion", _WHY)
    content = json.loads((workspace.home.store / "traffic" / f"{MODEL}.json").read_text())
    assert (content["champion"], content["revision"]) == (None, 7)


def test_rolling_back_brings_it_back_alone_and_again_the_one_before(busy: Registry, workspace: Workspace) -> None:
    busy.withdraw(MODEL, "champion", _WHY)
    assert busy.rollback(MODEL, "a caller came back").served.keys() == {"champion"}
    assert _champion(busy.store.read_traffic(MODEL)) == "1.1.0"
    assert _champion(busy.rollback(MODEL, "worse")) == "1.0.1"
    busy.withdraw(MODEL, "champion", _WHY)
    assert _champion(busy.rollback(MODEL, "a caller came back")) == "1.0.1"
    assert _champion(busy.rollback(MODEL, "worse")) == "1.0.0"
    assert examine(busy, workspace.home.candidates) == []


@pytest.mark.parametrize(("version", "earlier"), [("1.1.0", "1.0.1"), ("1.0.0", "1.1.0")])
def test_promoting_brings_the_model_back(busy: Registry, workspace: Workspace, version: str, earlier: str) -> None:
    busy.withdraw(MODEL, "champion", _WHY)
    traffic = busy.promote(MODEL, version, "a caller came back")
    assert (_champion(traffic), traffic.revision, traffic.releases[1:]) == (version, 8, ())
    assert busy.list_moves(MODEL)[-1].from_version is None
    assert _champion(busy.rollback(MODEL, "worse")) == earlier
    assert examine(busy, workspace.home.candidates) == []


def test_it_is_withdrawn_once_and_with_a_reason(busy: Registry) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        busy.withdraw(MODEL, "champion", " ")
    busy.withdraw(MODEL, "champion", _WHY)
    for variant in ("champion", "challenger", "shadow"):
        with pytest.raises(NotFoundError, match=f"delays has no {variant} to withdraw; see `athanor registry traffic"):
            busy.withdraw(MODEL, variant, _WHY)
    assert len(busy.list_moves(MODEL)) == 7


def test_nothing_stands_beside_a_withdrawn_champion(busy: Registry) -> None:
    busy.withdraw(MODEL, "champion", _WHY)
    words = r"delays has no champion, so that 1\.0\.1 cannot be {}; promote a version first"
    with pytest.raises(NotFoundError, match=words.format("challenger")):
        busy.challenge(MODEL, "1.0.1", 0.5, _WHY)
    with pytest.raises(NotFoundError, match=words.format("shadow")):
        busy.shadow(MODEL, "1.0.1", _WHY)
    with pytest.raises(NotFoundError, match=words.format("pinned")):
        busy.pin(MODEL, "1.0.1", _WHY)
    assert len(busy.list_moves(MODEL)) == 7


def test_one_model_is_withdrawn_and_the_next_major_answers_on(moved: Registry, tmp_path: Path) -> None:
    moved.register(make_release_of(tmp_path, next_major()))
    after = moved.promote("delays.v2", "2.0.0", "the next major")
    moved.withdraw(MODEL, "champion", "its last caller has moved")
    assert moved.store.read_traffic("delays.v2") == after


def test_the_doctor_writes_the_file_again(busy: Registry, workspace: Workspace) -> None:
    before = busy.store.read_traffic(MODEL)
    traffic = busy.withdraw(MODEL, "champion", _WHY)
    busy.store.write_traffic(before)
    assert [finding.what for finding in examine(busy, workspace.home.candidates)] == [
        "by the last move, 7, nothing answers; by the traffic file, of revision 6, champion is 1.1.0, challenger is "
        "1.0.0, shadow is 1.0.1, pinned is 1.0.0, with weight 0.25"
    ]
    examine(busy, workspace.home.candidates, mend=True)
    assert busy.store.read_traffic(MODEL) == traffic


def test_its_traffic_is_signed_as_any(busy: Registry, workspace: Workspace, tmp_path: Path) -> None:
    key = tmp_path / "key"
    public = make_key(key)
    before = sign_traffic(busy.published_traffic(MODEL), key)
    traffic = busy.withdraw(MODEL, "champion", _WHY)
    with pytest.raises(AthanorError, match="moved or changed since"):
        verify_traffic(traffic, [before], public)
    signed = _ask(workspace, "sign-traffic", MODEL, "--key", str(key))
    assert signed["revision"] == 7
    verify_traffic(traffic, busy.store.read_traffic_signatures(MODEL), public)


def test_releases_stay(busy: Registry, workspace: Workspace) -> None:
    busy.withdraw(MODEL, "champion", _WHY)
    assert _ask(workspace, "gc", MODEL, "--older-than", "0")["registered"] == 3
    assert len(busy.store.list_digests(MODEL)) == 3


def test_the_tables_say_so(busy: Registry, workspace: Workspace) -> None:
    assert _ask(workspace, "withdraw", MODEL, "champion", "-m", _WHY)["champion"] is None
    (traffic,) = _ask(workspace, "traffic", MODEL)
    assert (traffic["champion"], traffic["weights"], traffic["is_last_move"]) == (None, {}, True)
    assert (traffic["moved"]["kind"], traffic["moved"]["why"]) == ("withdraw", _WHY)
    history = CliRunner().invoke(app, ["history", MODEL, "--home", str(workspace.path)], env={"COLUMNS": "240"})
    assert "nothing answers" in " ".join(history.stdout.split())
    assert _ask(workspace, "history", MODEL)[-1]["traffic"]["champion"] is None
