"""Duplicates and membership of keys in Arrow tables, compared with plain Python."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import PROPERTY
from support.protos import Toy

from athanor.contract.v1 import options_pb2
from athanor.data.tables.keys import equal_values, equals_neighbour, hash_keys, is_among, key_names, repeated_keys

_SCHEMA: Final = pa.schema([("text", pa.string()), ("number", pa.int64()), ("at", pa.timestamp("us", tz="UTC"))])
_GROUPS: Final = 16
_KEYS: Final = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b", "ab", "é"]),
        st.sampled_from([-1, 0, 1, 2**53]),
        st.sampled_from([datetime(1969, 12, 31, tzinfo=UTC), datetime(2013, 1, 1, microsecond=1, tzinfo=UTC)]),
    ),
    max_size=30,
)


def _table(keys: list[Any], schema: pa.Schema = _SCHEMA, chunks: int = 2) -> pa.Table:
    """In several chunks, as tables come that were put together."""
    rows = [dict(zip(schema.names, key, strict=True)) for key in keys]
    return pa.concat_tables(pa.Table.from_pylist(rows[part::chunks], schema) for part in range(chunks))


def _rows(table: pa.Table) -> list[Any]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@PROPERTY
@given(_KEYS)
def test_keys_that_repeat_come_once_each(keys: list[Any]) -> None:
    found = repeated_keys(_table(keys))
    assert found.schema == _SCHEMA
    assert sorted(_rows(found)) == sorted(key for key, count in Counter(keys).items() if count > 1)


@PROPERTY
@given(_KEYS, _KEYS)
def test_rows_are_among_others_by_all_columns_of_the_key(keys: list[Any], others: list[Any]) -> None:
    table = _table(keys)
    assert is_among(table, _table(others)).tolist() == [row in set(others) for row in _rows(table)]


@PROPERTY
@given(_KEYS)
def test_equal_keys_fall_into_one_group_wherever_they_stand(keys: list[Any]) -> None:
    table = _table(keys)
    groups = hash_keys(table, _GROUPS)
    assert groups.dtype == np.int64
    assert all(0 <= group < _GROUPS for group in groups.tolist())
    alone = [hash_keys(_table([key], chunks=1), _GROUPS)[0] for key in _rows(table)]
    assert groups.tolist() == alone


def test_groups_are_the_same_in_every_process_and_about_equally_large() -> None:
    """Python's own hash of a text differs from process to process."""
    at = datetime(2013, 1, 1, tzinfo=UTC)
    table = _table([(f"text {number}", number, at) for number in range(16_000)], chunks=1)
    groups = hash_keys(table, _GROUPS)
    assert groups[:8].tolist() == [2, 7, 10, 0, 0, 6, 14, 1]
    assert np.bincount(groups).min() > 800


@PROPERTY
@given(_KEYS)
def test_rows_of_a_sorted_table_equal_a_neighbour_where_their_key_repeats(keys: list[Any]) -> None:
    table = _table(keys).sort_by([(name, "ascending") for name in _SCHEMA.names])
    counts = Counter(keys)
    assert equals_neighbour(table).tolist() == [counts[row] > 1 for row in _rows(table)]


@pytest.mark.parametrize("name", ["row", "count_all", "#", "key"])
def test_a_column_of_the_key_may_have_any_name(name: str) -> None:
    table = _table([(1,), (1,), (2,)], pa.schema([(name, pa.int64())]), chunks=1)
    assert _rows(repeated_keys(table)) == [(1,)]
    assert is_among(table, table.slice(2)).tolist() == [False, False, True]


def test_there_is_one_zero() -> None:
    schema = pa.schema([("number", pa.float64())])
    zeros = _table([(0.0,), (-0.0,)], schema, chunks=1)
    assert repeated_keys(zeros).num_rows == 1
    assert is_among(zeros, zeros.slice(1)).tolist() == [True, True]
    assert equals_neighbour(zeros).tolist() == [True, True]
    assert len(set(hash_keys(zeros, 2**31).tolist())) == 1


_VALUES: Final = st.lists(st.tuples(*[st.sampled_from([None, -1.5, 0.0, 2.0])] * 2), max_size=20)


@PROPERTY
@given(_VALUES)
def test_values_are_equal_where_both_are_missing_too(pairs: list[tuple[float | None, float | None]]) -> None:
    before, after = (pa.table({"number": pa.array([pair[side] for pair in pairs], pa.float64())}) for side in (0, 1))
    found = equal_values(before, after)
    assert {name: same.tolist() for name, same in found.items()} == {"number": [a == b for a, b in pairs]}


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        (pa.string(), "", "a"),
        (pa.bool_(), False, True),
        (pa.int64(), 0, 1),
        (pa.timestamp("us", tz="UTC"), datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_values_of_every_type_are_compared(kind: pa.DataType, value: Any, other: Any) -> None:
    before = pa.table({"value": pa.array([value, value, None, None], kind)})
    after = pa.table({"value": pa.array([value, other, value, None], kind)})
    assert equal_values(before, after)["value"].tolist() == [True, False, False, True]


def test_the_key_comes_from_the_contract() -> None:
    toy = Toy()
    assert key_names(toy.read()) == ["id"]
    toy.column("at").roles.append(options_pb2.ROLE_KEY)
    assert key_names(toy.read()) == ["at", "id"]
