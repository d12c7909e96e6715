"""Which binary a process runs from."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from athanor.system.code.binary import find_binary

_NO_CODE = hashlib.sha1(usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("entry_point", "code", "is_binary"),
    [
        ("athanor.cli.app", "0123", True),
        # Pants' goal `run` of a module: the environment holds the libraries, and the sources lie elsewhere.
        ("athanor.cli.app", _NO_CODE, False),
        ("pytest.__main__", "0123", False),
        (None, "0123", False),
    ],
)
def test_an_environment_with_code_of_ours_is_a_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_point: str | None, code: str, is_binary: bool
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert find_binary() is None
    (tmp_path / "PEX-INFO").write_text(
        json.dumps({"entry_point": entry_point, "code_hash": code, "distributions": {"numpy.whl": "abc"}})
    )
    found = find_binary()
    assert (found is not None) is is_binary
    if found is not None:
        assert str(found).startswith(f"code sha1:{code}\ndistributions sha256:")
