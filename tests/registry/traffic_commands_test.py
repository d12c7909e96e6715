"""The commands of the registry that share the traffic: tables for people, JSON for machines, and exit statuses."""

import json
import re
from typing import Any, Final
from unittest.mock import ANY

import pytest
from support.registries import MODEL, Workspace
from typer.testing import CliRunner, Result

from athanor.cli.registry.app import app
from athanor.errors import AthanorError, InputError, NotFoundError
from athanor.registry.registry import Registry
from athanor.release.files import Release

_WIDE: Final = {"COLUMNS": "240"}


@pytest.fixture
def promoted(registered: Registry) -> Registry:
    """Whose champion is 1.0.0."""
    registered.promote(MODEL, "1.0.0", "the first")
    return registered


def _run(workspace: Workspace, command: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, MODEL, *map(str, arguments), "--home", str(workspace.path)], env=_WIDE)


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


def _row(table: str, first: str) -> list[str]:
    """The cells of a table's row, by its first."""
    rows = ([cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in table.splitlines())
    return next(cells for cells in rows if cells and cells[0] == first)


def test_a_challenge_says_how_requests_are_assigned(promoted: Registry, workspace: Workspace) -> None:
    done = _run(workspace, "challenge", "1.0.1", "--weight", 0.1, "--why", "newer data", "--json")
    assert json.loads(done.stdout)["challenger"]["weight"] == 0.1
    assert (
        "A request goes to one side by the header x-athanor-sticky-key, or else by scheduled_departure, carrier, "
        "flight_number of its first row. Requests with the same key always go to the same side: if callers send one "
        "constant key, all of them do\n"
    ) in done.stderr


def test_challenger_and_shadow_come_and_go(promoted: Registry, workspace: Workspace, releases: list[Release]) -> None:
    tried = _ask(workspace, "challenge", "1.0.1", "--weight", 0.1, "--why", "newer data")
    assert tried["challenger"] == {"digest": releases[1].digest, "semantic_version": "1.0.1", "weight": 0.1}
    table = _tell(workspace, "challenge", releases[1].digest[:8], "--weight", 0.25, "-m", "more")
    assert _row(table, "challenger") == ["challenger", "1.0.1", releases[1].digest[:12], "0.25"]
    assert _row(table, "champion")[3] == "0.75"
    assert _row(_tell(workspace, "shadow", "1.1.0", "--reason", "to compare"), "shadow")[3] == "0"
    assert _ask(workspace, "withdraw", "challenger", "--why", "no better")["challenger"] is None
    assert "shadow" not in _tell(workspace, "withdraw", "shadow", "--why", "seen enough")
    assert [(move["kind"], move["why"]) for move in _ask(workspace, "history")] == [
        ("promote", "the first"),
        ("challenge", "newer data"),
        ("challenge", "more"),
        ("shadow", "to compare"),
        ("withdraw", "no better"),
        ("withdraw", "seen enough"),
    ]


def test_the_traffic_is_shown_with_the_last_move(
    promoted: Registry, workspace: Workspace, releases: list[Release]
) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.1, "newer [data]")
    move = promoted.list_moves(MODEL)[-1]
    (answer,) = _ask(workspace, "traffic")
    assert answer == {
        **promoted.store.read_traffic(MODEL).model_dump(mode="json"),
        "weights": {"champion": 0.9, "challenger": 0.1},
        "moved": {"kind": "challenge", "by": move.by, "at": move.at, "why": "newer [data]"},
        "is_last_move": True,
    }
    table = _tell(workspace, "traffic")
    assert f"revision 2, challenge by {move.by} at {move.at}: newer [data]" in " ".join(table.split())
    assert "doctor" not in table
    assert _row(table, "champion") == ["champion", "1.0.0", releases[0].digest[:12], "0.9"]
    assert _row(table, "challenger") == ["challenger", "1.0.1", releases[1].digest[:12], "0.1"]


def test_a_traffic_file_behind_the_history_is_shown_as_such(promoted: Registry, workspace: Workspace) -> None:
    stale = promoted.store.read_traffic(MODEL)
    promoted.shadow(MODEL, "1.0.1", "to compare")
    promoted.store.write_traffic(stale)
    (answer,) = _ask(workspace, "traffic")
    assert (answer["revision"], answer["moved"]["kind"], answer["is_last_move"]) == (1, "promote", False)
    assert "not the last move: run `athanor registry doctor --mend`" in " ".join(_tell(workspace, "traffic").split())
    promoted.store.write_traffic(stale.model_copy(update={"revision": 9}))
    assert (_ask(workspace, "traffic")[0]["moved"], "doctor" in _tell(workspace, "traffic")) == (None, True)


def test_without_traffic_it_says_what_to_do(registered: Registry, workspace: Workspace) -> None:
    error = _refused(workspace, "traffic")
    assert isinstance(error, NotFoundError)
    assert "promote one" in str(error)


def test_who_takes_part_is_seen_in_every_table(promoted: Registry, workspace: Workspace) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.1, "newer data")
    promoted.shadow(MODEL, "1.1.0", "to compare")
    listed = _ask(workspace, "list")
    assert [(v["aliases"], v["weight"]) for v in listed] == [
        (["shadow"], 0.0),
        (["challenger"], 0.1),
        (["champion"], 0.9),
    ]
    assert _row(_tell(workspace, "list"), "1.0.1")[2:4] == ["challenger", "0.1"]
    assert (_ask(workspace, "show", "1.0.1")["aliases"], _ask(workspace, "show", "1.0.1")["weight"]) == (
        ["challenger"],
        0.1,
    )
    assert _row(_tell(workspace, "show", "1.0.1"), "alias") == ["alias", "challenger"]
    assert _row(_tell(workspace, "show", "1.0.1"), "weight") == ["weight", "0.1"]
    difference = _ask(workspace, "diff", "1.0.0", "1.0.1")
    assert (difference["aliases"], difference["weights"]) == ([["champion"], ["challenger"]], [0.9, 0.1])
    assert _row(_tell(workspace, "diff", "1.0.0", "1.0.1"), "traffic") == [
        "traffic",
        "champion, 0.9",
        "challenger, 0.1",
    ]
    assert _ask(workspace, "history")[2]["traffic"]["challenger"]["weight"] == 0.1
    table = _tell(workspace, "history")
    assert _row(table, "2")[1:4] == ["challenge", "", "1.0.1"]
    for words in ("champion 1.0.0 (0.9)", "challenger 1.0.1 (0.1)", "shadow 1.1.0 (0)"):
        assert words in table


def test_pins_come_and_go_and_are_seen_in_every_table(promoted: Registry, workspace: Workspace) -> None:
    digest = promoted.find_version(MODEL, "1.0.1").digest
    assert _ask(workspace, "pin", "1.0.1", "--reason", "for the old app")["pinned"] == [
        {"digest": digest, "semantic_version": "1.0.1"}
    ]
    assert _row(_tell(workspace, "pin", "1.0.0", "-m", "too"), "pinned") == ["pinned", "1.0.0", ANY, "0"]
    assert [(v["aliases"], v["weight"]) for v in _ask(workspace, "list")] == [
        ([], None),
        (["pinned"], 0.0),
        (["champion", "pinned"], 1.0),
    ]
    assert _row(_tell(workspace, "list"), "1.0.0")[2:4] == ["champion, pinned", "1"]
    assert _row(_tell(workspace, "show", "1.0.1"), "alias") == ["alias", "pinned"]
    assert [served["semantic_version"] for served in _ask(workspace, "traffic")[0]["pinned"]] == ["1.0.0", "1.0.1"]
    assert _row(_tell(workspace, "traffic"), "pinned")[1] == "1.0.0"
    assert _ask(workspace, "unpin", "1.0.1", "--why", "nobody asks")["pinned"][0]["semantic_version"] == "1.0.0"
    table = _tell(workspace, "history")
    assert _row(table, "2")[1:4] == ["pin", "", "1.0.1"]
    assert _row(table, "4")[1:4] == ["unpin", "1.0.1", ""]
    assert "pinned 1.0.1 (0)" in table
    assert [(move["kind"], move["why"]) for move in _ask(workspace, "history")][1:] == [
        ("pin", "for the old app"),
        ("pin", "too"),
        ("unpin", "nobody asks"),
    ]


def test_one_that_takes_no_part_has_no_weight(promoted: Registry, workspace: Workspace) -> None:
    promoted.challenge(MODEL, "1.0.1", 0.1, "newer data")
    promoted.withdraw(MODEL, "challenger", "no better")
    assert [v["weight"] for v in _ask(workspace, "list")] == [None, None, 1.0]
    assert _row(_tell(workspace, "list"), "1.0.1")[2:4] == ["", ""]
    assert _row(_tell(workspace, "diff", "1.0.0", "1.0.1"), "traffic") == ["traffic", "champion, 1", ""]
    assert _row(_tell(workspace, "history"), "3")[1:4] == ["withdraw", "1.0.1", ""]


@pytest.mark.parametrize("weight", ["0", "1", "-0.1", "1.5", "nan"])
def test_a_weight_that_is_no_share_is_refused(promoted: Registry, workspace: Workspace, weight: str) -> None:
    error = _refused(workspace, "challenge", "1.0.1", "--weight", weight, "--why", "to see")
    assert (type(error), error.exit_status) == (InputError, 2)
    assert "above 0 and below 1" in str(error)


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (("challenge", "1.0.1", "--why", "to see"), "--weight"),
        (("challenge", "1.0.1", "--weight", "much", "--why", "to see"), "--weight"),
        (("challenge", "1.0.1", "--weight", "0.1"), "--reason"),
        (("shadow", "1.0.1"), "--reason"),
        (("withdraw", "shadow"), "--reason"),
        (("pin", "1.0.1"), "--reason"),
        (("unpin", "1.0.1"), "--reason"),
    ],
)
def test_what_is_not_said_is_asked_for(
    promoted: Registry, workspace: Workspace, arguments: tuple[str, ...], absent: str
) -> None:
    done = _run(workspace, *arguments)
    assert done.exit_code == 2
    assert absent in done.output
    assert len(promoted.list_moves(MODEL)) == 1


def test_who_cannot_be_withdrawn_is_refused(promoted: Registry, workspace: Workspace) -> None:
    assert "give champion, challenger or shadow" in str(_refused(workspace, "withdraw", "pinned", "--why", "to see"))
    error = _refused(workspace, "withdraw", "shadow", "--why", "to see")
    assert isinstance(error, NotFoundError)
    assert f"`athanor registry traffic {MODEL}`" in str(error)
