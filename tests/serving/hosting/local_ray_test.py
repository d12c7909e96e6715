"""What Ray is told before it starts."""

import stat
from pathlib import Path

import pytest

from athanor.serving.hosting.local_ray import environment
from athanor.serving.setup.settings import ServingSettings, make_settings


@pytest.fixture
def settings(tmp_path: Path) -> ServingSettings:
    return make_settings(project="flight_delay", store=str(tmp_path), folder=tmp_path, max_message_bytes=2048)


def test_ray_is_given_a_token_in_a_file_and_nowhere_else(tmp_path: Path, settings: ServingSettings) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    told = environment(scratch, settings)
    path = Path(told["RAY_AUTH_TOKEN_PATH"])
    assert told["RAY_AUTH_MODE"] == "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text()
    assert len(token) >= 43
    assert token not in "".join(told.values())


def test_each_run_has_a_token_of_its_own(tmp_path: Path, settings: ServingSettings) -> None:
    tokens = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tokens.add(Path(environment(tmp_path / name, settings)["RAY_AUTH_TOKEN_PATH"]).read_text())
    assert len(tokens) == 2
