"""Services of one home: their names, the models that they choose, and what commands do without a name."""

from collections.abc import Iterator
from typing import Final

import pytest
from integration.doors import Doors, Told
from integration.made_models import MadeModels
from integration.service import Service, running_service, up
from support.commands import run
from support.flights import make_flight
from support.processes import nothing_survives
from support.wires import repackage

from athanor.contract.contract import Contract
from athanor.home import Home
from athanor.serving.setup.paths import list_running

_REFUSED: Final = 2
_FARES: Final = repackage("fares.v1")
_FERRIES: Final = repackage("ferries.v1")
_HIRED: Final = repackage("hired.v1")
_TAXI: Final = repackage("taxi.v1")


@pytest.fixture(autouse=True)
def _nothing_survives() -> Iterator[None]:
    with nothing_survives():
        yield


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeModels:
    made = MadeModels.open(Home(tmp_path_factory.mktemp("services") / "home"))
    for contract in (_FARES, _FERRIES, _TAXI):
        made.promote(contract)
    return made


def _command(made: MadeModels, *arguments: object) -> tuple[int, str]:
    """Exit status, and standard error."""
    done = run("serving", *arguments, "--home", made.home.path)
    return done.returncode, done.stderr


def _list_models(service: Service) -> list[set[str]]:
    """The models of each replica."""
    return [set(replica.models) for replica in service.replicas]


def test_two_services_of_one_home_each_serve_what_they_chose(made: MadeModels) -> None:
    """By patterns and by name; both serve one of the models."""
    with running_service(made.home, models=("f*", "taxi")) as several, running_service(made.home, models=("fares",)):
        assert several.name == "models"
        assert _list_models(several) == [{"fares", "ferries", "taxi"}]
        status, words = _command(made, "down")
        assert status == _REFUSED
        assert "fares, models; name one of them" in words
        assert _command(made, "down", "fares")[0] == 0
        assert _asks(several, _TAXI)
        # Now it is the only one.
        assert _command(made, "down")[0] == 0
        assert several.name not in list_running(made.home.service)


def _asks(service: Service, contract: Contract) -> bool:
    """Whether a model answers."""
    with Doors.opened(service, contract) as doors:
        return isinstance(doors.typed([make_flight()]), Told)


def test_a_model_that_is_given_by_its_name_must_have_a_champion(made: MadeModels) -> None:
    made.registry.withdraw(_TAXI.name, "champion", "for a test")
    made.register(_HIRED)
    for models, culprit in (([_HIRED.name], _HIRED.name), (["f*", _TAXI.name], _TAXI.name)):
        refused = up(made.home, *models)
        assert refused.returncode == _REFUSED, refused.stderr
        assert culprit in refused.stderr
        assert "promote" in refused.stderr
