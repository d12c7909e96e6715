"""Processes that register and promote at once: no version and no record is lost, and all agrees afterwards."""

from pathlib import Path
from typing import Final

from support.registries import Place, check_nothing_is_lost, race

from athanor.registry.settings import RegistrySettings

_WRITERS: Final = 20
_OF_EACH: Final = 2


def test_twenty_who_write_at_once_lose_nothing(place: Place) -> None:
    folders = [[place.train(seed=_OF_EACH * w + n) for n in range(_OF_EACH)] for w in range(_WRITERS)]
    registry = place.open()
    told = race(registry.settings, folders)
    check_nothing_is_lost(registry, place, told, promotions=_WRITERS * _OF_EACH)


def test_the_same_release_registered_at_once_has_one_version(place: Place) -> None:
    registry = place.open()
    told = race(registry.settings, [[place.train()]] * 4)
    check_nothing_is_lost(registry, place, told, promotions=1)


def test_the_first_who_come_at_once_make_one_database(tmp_path: Path) -> None:
    place = Place(tmp_path)
    told = race(RegistrySettings.find(place.home), [[place.train(seed=number)] for number in range(4)])
    check_nothing_is_lost(place.open(), place, told, promotions=4)
    assert {path.name for path in place.home.registry.iterdir()} == {"mlflow.db", "mlflow.db.lock", "artifacts"}
