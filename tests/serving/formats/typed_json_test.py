"""Rows in JSON: what is worked out for a contract once is kept for each of many models."""

import pytest
from support.protos import Toy

from athanor.serving.formats import values
from athanor.serving.formats.typed_json import RowReader


def test_rows_of_many_models_are_planned_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(values, "reader_of", lambda column: asked.append(column.name))
    contracts = [Toy().read() for _ in range(100)]
    for contract in contracts:
        RowReader(contract)
    before = len(asked)
    assert before == sum(len(contract.columns) for contract in contracts)
    for contract in contracts:
        RowReader(contract)
    assert len(asked) == before
