"""A Ray token comes from a file, or from the file that a variable names."""

from pathlib import Path

import pytest

from athanor.cluster.token import VARIABLE, ray_authentication
from athanor.errors import SettingsError


def test_what_is_given_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_text("a")
    other.write_text("b")
    monkeypatch.setenv(VARIABLE, str(other))
    assert ray_authentication(given)["RAY_AUTH_TOKEN_PATH"] == str(given)
    assert ray_authentication(None) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(other)}


def test_without_a_file_it_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(SettingsError, match="--ray-token-file"):
        ray_authentication(None)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=str(file)):
        ray_authentication(file)
