"""Processes that register and promote at once: no version and no record is lost, and all agrees afterwards."""

from pathlib import Path
from typing import Final

from support.registries import Workspace, check_nothing_is_lost, race

from athanor.registry.settings import RegistrySettings

_WRITERS: Final = 20
_OF_EACH: Final = 2


def test_twenty_who_write_at_once_lose_nothing(workspace: Workspace) -> None:
    folders = [[workspace.train(seed=_OF_EACH * w + n) for n in range(_OF_EACH)] for w in range(_WRITERS)]
    registry = workspace.open()
    versions = race(registry.settings, folders)
    check_nothing_is_lost(registry, workspace, versions, promotions=_WRITERS * _OF_EACH)


def test_the_same_release_registered_at_once_has_one_version(workspace: Workspace) -> None:
    registry = workspace.open()
    versions = race(registry.settings, [[workspace.train()]] * 4)
    check_nothing_is_lost(registry, workspace, versions, promotions=1)


def test_the_first_who_come_at_once_make_one_database(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    versions = race(RegistrySettings.find(workspace.home), [[workspace.train(seed=number)] for number in range(4)])
    check_nothing_is_lost(workspace.open(), workspace, versions, promotions=4)
    assert {path.name for path in workspace.home.registry.iterdir()} == {"mlflow.db", "mlflow.db.lock", "artifacts"}
