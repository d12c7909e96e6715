"""Scratch folders have short paths, whatever TMPDIR says, and go when their context ends."""

import stat
from pathlib import Path

import pytest

from athanor.cluster.scratch import scratch_folder


def test_it_is_short_private_and_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with scratch_folder() as folder:
        assert str(folder).startswith("/tmp/ath-")  # noqa: S108 - what is tested
        assert len(str(folder)) < 107 - 70
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").touch()
    assert not folder.exists()
