"""A dataset has the name of its model: another one for each proto package."""

from dataclasses import replace

import pytest
from prepared.place import PREPARED
from support.wires import next_major

from athanor.cli.data import jobs
from athanor.data.snapshots.snapshot import list_snapshots
from athanor.errors import NotFoundError
from projects.delays.model import MODEL


def test_a_project_names_the_dataset_of_the_model_that_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs.dataset_of("delays") == "delays"
    monkeypatch.setattr(jobs, "load", lambda *_: replace(MODEL, contract=next_major()))
    assert jobs.dataset_of("delays") == "delays.v2"
    assert [jobs.dataset_of(f"delays.v{number}") for number in (1, 2)] == ["delays", "delays.v2"]
    snapshots = {number: list_snapshots(jobs.dataset_of(f"delays.v{number}"), PREPARED.datasets) for number in (1, 2)}
    assert (bool(snapshots[1]), snapshots[2]) == (True, [])


@pytest.mark.parametrize("name", ["weather", "weather.v2"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(NotFoundError, match="no project 'weather'"):
        jobs.dataset_of(name)
