"""Every command that writes, on a full disk: refused in words with nothing torn, and done once there is room."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from support.flights import make_columns
from support.mounts import require_mounts, run_turns
from support.registries import MODEL, Workspace
from support.snapshots import commit_columns

from athanor.release.signing.releases import make_key
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import make_token, tokens_path
from projects.delays.model import MODEL as DELAYS

_MOVES: Final = (
    f"registry challenge {MODEL} 1.1.0 --weight 0.1 -m x",
    f"registry withdraw {MODEL} challenger -m x",
    f"registry shadow {MODEL} 1.1.0 -m x",
    f"registry withdraw {MODEL} shadow -m x",
    f"registry pin {MODEL} 1.1.0 -m x",
    f"registry unpin {MODEL} 1.1.0 -m x",
    f"registry promote {MODEL} 1.1.0 -m x",
    f"registry rollback {MODEL} -m x",
    f"registry withdraw {MODEL} champion -m x",
    f"registry rollback {MODEL} -m again",
)
_OTHERS: Final = (
    f"data restore {MODEL} 0 --why x",
    f"data profile {MODEL}",
    f"data build {MODEL}",
    f"registry sign {MODEL} 1.0.0 --key {{disk}}/key",
    f"registry sign-traffic {MODEL} --key {{disk}}/key",
    f"serve token create {MODEL} new",
    f"serve token revoke {MODEL} old",
    f"train {MODEL} --snapshot 0 --trials 1 --jobs 1",
)
_FREEING: Final = (f"data vacuum {MODEL} --keep 0d", f"registry gc {MODEL} --older-than 0")
_STATE: Final = ("registry doctor", f"registry traffic {MODEL}", f"data log {MODEL}")
# A recipe needs flights of a year.
_YEAR: Final = 14_200
# Enough for the ledger, not for SQLite's journal.
_ROOM: Final = 12_288


@pytest.fixture(scope="module")
def home(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a champion, three snapshots, a token, and a key beside it."""
    require_mounts("mount -t tmpfs none /mnt")
    folder = tmp_path_factory.mktemp("full")
    workspace = filled.copy(folder)
    workspace.open().promote(MODEL, "1.0.0", "x")
    for rows in (_YEAR, 30, 40):
        commit_columns(DELAYS.contract, make_columns(rows), workspace.home.datasets)
    make_token(tokens_path(workspace.home.service, MODEL), "old", Scope.PREDICT, None)
    make_key(folder / "key")
    return workspace.path


def _run(home: Path, disk: Path, lines: Sequence[str], room: int = 0) -> list[dict[str, object]]:
    """Runs each line on a disk with so many bytes left, then a look at the state, then the line with room."""
    disk.mkdir()
    place = shlex.quote(str(disk))
    mounts = (f"mount -t tmpfs -o size=96m none {place}", f"cp -r {shlex.quote(str(home.parent))}/. {place}")
    fill = f"!dd if=/dev/zero of={place}/rest bs=4096; truncate -s -{room} {place}/rest"
    done = [line.format(disk=place) for line in lines]
    turns = [turn for line in done for turn in (fill, line, *_STATE, f"!rm {place}/rest", line)]
    find = f"!find {place} -name '.arriving-*' | grep . && exit 1 || exit 0"
    return run_turns(mounts, disk / home.name, [*turns, find, "registry doctor"])


def _each(turns: Sequence[dict[str, object]], lines: Sequence[str]) -> Iterator[Sequence[dict[str, object]]]:
    """The turns of each line: full, the looks, and with room."""
    assert [turn["status"] for turn in turns[-2:]] == [0, 0], turns[-2:]
    step = len(_STATE) + 4
    for number in range(len(lines)):
        _, full, *looks, _, again = turns[step * number : step * (number + 1)]
        yield full, *looks, again


def test_a_command_that_finds_no_space_changes_nothing_and_is_done_later(home: Path, tmp_path: Path) -> None:
    lines = (*_MOVES, *_OTHERS)
    for full, *looks, again in _each(_run(home, tmp_path / "disk", lines), lines):
        assert (full["status"], again["status"]) == (1, 0), (full, again)
        assert "STORAGE_FAILED /" in str(full["printed"])
        assert "No space left on device; free some space, or choose a folder with more" in str(full["printed"])
        assert [look["status"] for look in looks] == [0] * len(_STATE), (full, looks)


def test_a_move_that_the_database_has_no_space_for_is_completed_later(home: Path, tmp_path: Path) -> None:
    """The ledger has the move; the traffic is the one before."""
    for full, doctor, *looks, again in _each(_run(home, tmp_path / "disk", _MOVES, _ROOM), _MOVES):
        assert (full["status"], doctor["status"], again["status"]) == (1, 1, 0), (full, again)
        assert "mlflow.db cannot be written: the disk is full; free some space, then run the command again" in str(
            full["printed"]
        )
        assert [look["status"] for look in looks] == [0, 0], looks


def test_what_frees_space_needs_none(home: Path, tmp_path: Path) -> None:
    for full, *looks, again in _each(_run(home, tmp_path / "disk", _FREEING), _FREEING):
        assert (full["status"], again["status"]) == (0, 0), (full, again)
        assert [look["status"] for look in looks] == [0] * len(_STATE), looks
