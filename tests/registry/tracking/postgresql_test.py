"""The registry on a real PostgreSQL server."""

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support.forks import FORKS, start
from support.killed import NEVER, run_until, spread
from support.registries import MODEL, Workspace, change, check_nothing_is_lost, hold_lock, race

from athanor.errors import ConflictError, SettingsError
from athanor.registry.care.doctor import examine
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.lock import WriterLock
from athanor.release.files import read_release

_VARIABLE: Final = "ATHANOR_TEST_POSTGRESQL"
_WRITERS: Final = 8
_KILLS: Final = 6
_PATIENCE_S: Final = 120.0

pytestmark = pytest.mark.skipif(
    _VARIABLE not in os.environ,
    reason="no server: build-support/postgresql/with-postgresql ./pants test tests/registry:",
)


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch, _own_settings: None) -> Iterator[str]:
    """A database of this test's own: the registry's lock is one for a database."""
    url, name = os.environ[_VARIABLE], f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        monkeypatch.setenv("ATHANOR_REGISTRY_URL", own := f"{url.rpartition('/')[0]}/{name}")
        yield own
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_it_does_there_what_it_does_in_a_file(workspace: Workspace) -> None:
    first, second = (read_release(workspace.train(seed=seed)) for seed in (1, 2))
    registry = workspace.open()
    assert [registry.register(release)[0].semantic_version for release in (first, second)] == ["1.0.0", "1.0.1"]
    assert registry.register(first)[1] is False
    registry.promote(MODEL, "1.0.0", "the first")
    registry.promote(MODEL, second.digest[:8], "the second")
    assert registry.rollback(MODEL, "it was worse").require_champion().digest == first.digest
    tried = registry.challenge(MODEL, "1.0.1", 0.1, "on fewer").challenger
    assert tried is not None
    assert (tried.digest, tried.weight) == (second.digest, 0.1)
    registry.withdraw(MODEL, "challenger", "still worse")
    registry.shadow(MODEL, "1.0.1", "to compare")
    again = workspace.open()
    assert [move.why for move in again.list_moves(MODEL)] == [
        *("the first", "the second", "it was worse", "on fewer", "still worse", "to compare"),
    ]
    assert [version.aliases for version in again.list_versions(MODEL)] == [("shadow",), ("champion",)]
    assert examine(again, workspace.home.candidates) == []
    assert not workspace.home.registry.joinpath("mlflow.db").exists()


def test_the_connection_of_the_pages_can_only_read(workspace: Workspace) -> None:
    registry = workspace.open()
    registry.register(read_release(workspace.train(seed=1)))
    url = registry.settings.read_only_url
    pages = MlflowClient(tracking_uri=url, registry_uri=url)
    assert [found.name for found in pages.search_registered_models()] == [MODEL]
    with pytest.raises(MlflowException, match="read-only transaction"):
        pages.set_registered_model_tag(MODEL, "owner", "me")


def test_writers_that_make_the_tables_register_and_promote_at_once_lose_nothing(workspace: Workspace) -> None:
    folders = [[workspace.train(seed=number)] for number in range(_WRITERS)]
    registered = race(RegistrySettings.find(workspace.home), folders)
    check_nothing_is_lost(workspace.open(), workspace, registered, promotions=_WRITERS)


def test_a_killed_process_lets_go_and_the_doctor_mends_what_it_left(workspace: Workspace) -> None:
    registry = workspace.open()
    # The first makes the model.
    registry.register(read_release(workspace.train(seed=20_000)))
    steps = run_until(NEVER, workspace.path, change, registry.settings, "register", workspace.train(seed=10_000))
    seen: Counter[str] = Counter()
    for number, step in enumerate(spread(steps, _KILLS)):
        folder = workspace.train(seed=number)
        run_until(step, workspace.path, change, registry.settings, "register", folder)
        found = examine(registry, workspace.home.candidates, mend=True)
        assert all(finding.is_mended for finding in found)
        assert examine(registry, workspace.home.candidates) == []
        _, is_new = registry.register(read_release(folder))
        seen["mended" if found else "nothing" if is_new else "registered"] += 1
    assert [version.number for version in registry.list_versions(MODEL)] == list(range(1, _KILLS + 3))[::-1]
    assert set(seen) == {"nothing", "mended", "registered"}, seen


def test_one_writes_at_a_time_wherever_it_runs(workspace: Workspace) -> None:
    settings = RegistrySettings.find(workspace.home)
    here, there = FORKS.Pipe()
    process = start(hold_lock, settings, there)
    assert here.poll(_PATIENCE_S)
    assert here.recv() == "held"
    with pytest.raises(ConflictError, match=r"another process has been writing to .*/test_.* for 0.05 s"):
        WriterLock(settings, patience_s=0.05).held().__enter__()
    process.kill()
    with WriterLock(settings, _PATIENCE_S).held():
        process.join()


@pytest.mark.parametrize("password", ["hunter2", "hunter2%25%40"])
def test_a_wrong_password_is_refused_at_start_and_not_shown(
    workspace: Workspace, database: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, _, host = database.partition("@")
    monkeypatch.setenv("ATHANOR_REGISTRY_URL", f"{user.rpartition(':')[0]}:{password}@{host}")
    with pytest.raises(SettingsError, match="password authentication failed") as error:
        workspace.open()
    assert "hunter2" not in str(error.value)
