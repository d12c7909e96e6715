"""A Ray token is in a file, or in the file that a variable names."""

import stat
from pathlib import Path

import pytest

from athanor.cluster.token import VARIABLE, find_ray_token, write_ray_token
from athanor.errors import SettingsError


def test_a_given_file_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_text("a")
    other.write_text("b")
    monkeypatch.setenv(VARIABLE, str(other))
    assert find_ray_token(given) == given
    assert find_ray_token(None) == other


def test_without_a_file_the_message_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SettingsError, match="--ray-token-file"):
        find_ray_token(None)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{file}.*copy the head's token file there"):
        find_ray_token(file)


def test_each_token_is_new_and_for_its_owner_alone(tmp_path: Path) -> None:
    tokens = set()
    for name in ("a", "b"):
        file = write_ray_token(tmp_path / name)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        tokens.add(file.read_text())
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 43
    with pytest.raises(FileExistsError):
        write_ray_token(tmp_path / "a")
