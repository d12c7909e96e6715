"""A contract that no release could be registered with is refused before anything is trained on it."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from support.pipelines import make_recipe
from support.wires import make_release_of, next_major, widen

from athanor.contract.contract import Contract
from athanor.errors import GateError
from athanor.home import Home
from athanor.release.files import Release
from athanor.release.ledger import Assigned, Ledger
from athanor.release.store import ReleaseStore
from athanor.training.train import train as module
from projects.delays.model import MODEL


class _BegunError(Exception):
    """The training began."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """With 1.9.0, 1.10.0 that allows longer distances, and 1.11.0 that the store has lost."""

    def begin(*_: Any) -> None:
        raise _BegunError

    monkeypatch.setattr(module, "build_release", begin)
    home = Home(tmp_path)
    made = {
        "1.10.0": make_release_of(home.candidates, widen(7_000)),
        "1.9.0": make_release_of(home.candidates, MODEL.contract),
        "1.11.0": make_release_of(home.candidates, widen(8_000)),
    }
    _register(ReleaseStore(home.store), made)
    return home


def _register(store: ReleaseStore, made: dict[str, Release]) -> None:
    assigned = [Assigned(semantic_version=number, digest=release.digest, by="ada") for number, release in made.items()]
    store.write_ledger(MODEL.name, Ledger(versions=tuple(assigned)))
    for number in ("1.9.0", "1.10.0"):
        store.publish(made[number])


def _train(home: Home, contract: Contract) -> None:
    module.train(make_recipe(model=replace(MODEL, contract=contract)), Mock(), home)


def test_a_contract_that_breaks_the_newest_release_there_is_is_refused(home: Home) -> None:
    expected = (
        r"the contract breaks callers or stored rows of delays 1\.10\.0, .* delays\.v1, by 1 change:\n  - column "
    )
    with pytest.raises(GateError, match=expected):
        _train(home, MODEL.contract)


@pytest.mark.parametrize("contract", [widen(7_000), widen(9_000), next_major()], ids=["same", "wider", "next package"])
def test_any_other_is_trained(home: Home, contract: Contract) -> None:
    with pytest.raises(_BegunError):
        _train(home, contract)


def test_the_first_release_of_a_model_breaks_none(home: Home, tmp_path: Path) -> None:
    with pytest.raises(_BegunError):
        _train(Home(tmp_path / "other"), MODEL.contract)
