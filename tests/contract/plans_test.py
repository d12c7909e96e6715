"""What is worked out once for the columns of a contract."""

from collections.abc import Sequence

import pytest
from support.protos import Toy

from athanor.contract import plans
from athanor.contract.columns import Column
from athanor.contract.plans import once

_COLUMNS = Toy().read().columns


def test_a_tuple_of_columns_is_planned_for_once() -> None:
    asked: list[object] = []

    @once
    def name_all(columns: Sequence[Column]) -> list[str]:
        asked.append(columns)
        return [column.name for column in columns]

    assert name_all(_COLUMNS) is name_all(_COLUMNS)
    assert asked == [_COLUMNS]


def test_an_equal_tuple_is_another_one() -> None:
    number = once(lambda columns: object())
    assert number(Toy().read().columns) is not number(Toy().read().columns)


def test_a_list_may_change_meanwhile() -> None:
    count = once(len)
    columns = [*_COLUMNS]
    assert count(columns) == len(_COLUMNS)
    columns.pop()
    assert count(columns) == len(_COLUMNS) - 1


def test_hundreds_of_models_keep_their_plans() -> None:
    tag = once(lambda columns: object())
    tuples = [(*_COLUMNS,) for _ in range(600)]
    assert [*map(tag, tuples)] == [*map(tag, tuples)]


def test_no_more_are_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_CONTRACTS", 2)
    tag = once(lambda columns: object())
    tuples = [tuple(_COLUMNS[:length]) for length in (1, 2, 3)]
    first, second, third = map(tag, tuples)
    assert tag(tuples[2]) is third
    assert tag(tuples[0]) is not first
    assert tag(tuples[1]) is not second
