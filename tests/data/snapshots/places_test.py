"""Snapshots in folders of unusual names, on read-only and on full disks: right, or refused in words."""

import errno
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from support import commands
from support.flights import make_columns
from support.snapshots import commit_columns

from athanor.data.snapshots.snapshot import list_snapshots, read_snapshot, restore
from athanor.data.snapshots.vacuum import vacuum
from athanor.errors import SettingsError
from athanor.system.named_errors import naming
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_READ: Final = """
import sys
from pathlib import Path
from athanor.data.snapshots.snapshot import find_snapshot, read_snapshot
from projects.delays.model import MODEL
folder = Path(sys.argv[1])
print(len(read_snapshot(MODEL.contract, folder, find_snapshot(MODEL.name, folder))[MODEL.contract.label.name]))
"""


def _commit(folder: Path, rows: int = 30) -> None:
    commit_columns(_CONTRACT, make_columns(rows), folder)


@pytest.mark.parametrize("name", ["a b", "a#b?c", "100%", "ä&=+;'", "%2"])
def test_a_folder_of_an_unusual_name_holds_snapshots(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    _commit(folder, 30)
    _commit(folder, 31)
    restore(MODEL.name, folder, 0, "a test")
    snapshots = list_snapshots(MODEL.name, folder)
    assert [(snapshot.version, snapshot.rows_out) for snapshot in snapshots] == [(2, 30), (1, 31), (0, 30)]
    assert len(read_snapshot(_CONTRACT, folder, snapshots[0])[_CONTRACT.label.name]) == 30
    assert vacuum(MODEL.name, folder, timedelta(0), set()).versions == (1,)


@pytest.mark.parametrize("name", ["a%20b", "a\\b", "a[1]", "a|b", "a^b"])
def test_a_folder_that_deltalake_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    words = r"the path has '.*', which deltalake cannot read; rename the folder, or choose another"
    with pytest.raises(SettingsError, match=words):
        list_snapshots(MODEL.name, tmp_path / name)
    with pytest.raises(SettingsError, match=words):
        _commit(tmp_path / name)


def test_a_read_only_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "datasets"
    _commit(folder)
    mounts = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, mounts, str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("this machine permits no mounts of a test's own")
    refused = '! touch "$0/x" 2>/dev/null'
    command = [*unshare, f'{mounts} && {refused} && exec "$@"', str(folder), sys.executable, "-c", _READ, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=commands.environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "30\n"


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_an_error_of_deltalake_gets_its_number_and_path(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(f"Generic LocalFileSystem error\n ↳ Unable to open file x\n ↳ No (os error {number})")

    monkeypatch.setattr("athanor.data.snapshots.snapshot.create_table_with_add_actions", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        _commit(tmp_path)
    assert (error.value.errno, error.value.filename) == (number, str(tmp_path / MODEL.name / "_delta_log"))
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_error_that_names_its_file_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone") as error, naming(tmp_path):
        (tmp_path / "gone").read_bytes()
    assert error.value.filename == str(tmp_path / "gone")


def test_an_error_without_a_number_keeps_its_text(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^division by zero$"), naming(tmp_path):
        raise OSError("division by zero")
