"""The content digest: rows and types, and nothing of how they are kept."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flights import make_columns
from support.properties import PROPERTY, SLOW_PROPERTY
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.data.snapshots.digest import ContentDigest, content_digest
from athanor.data.snapshots.order import in_order, row_groups
from athanor.data.tables.tables import from_arrow, from_frame, to_arrow
from projects.delays.model import MODEL

_CONTRACT = MODEL.contract
_TOY = Toy().read()


def _digest(columns: Columns, contract: Contract = _CONTRACT) -> str:
    return content_digest(contract, to_arrow(contract.dataset_columns, columns))


def _take(columns: Columns, chosen: Any) -> Columns:
    return {name: values[chosen] for name, values in columns.items()}


@PROPERTY
@given(st.permutations(range(12)))
def test_it_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    columns = make_columns(12)
    assert _digest(_take(columns, order)) == _digest(columns)


@SLOW_PROPERTY
@given(
    st.permutations(range(60)),
    st.lists(st.integers(1, 59), max_size=4),
    st.sampled_from(["none", "snappy", "zstd", "gzip"]),
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
)
def test_it_does_not_depend_on_files_order_row_groups_compression_encoding_or_engine(
    tmp_path_factory: pytest.TempPathFactory,
    order: list[int],
    cuts: list[int],
    compression: str,
    row_group_size: int,
    use_dictionary: bool,
    by_pandas: bool,
) -> None:
    """The rows in any order, in several files, written by Arrow or pandas, read back as one table."""
    columns, folder = make_columns(60), tmp_path_factory.mktemp("files")
    for number, part in enumerate(np.split(np.array(order), sorted(cuts))):
        table, path = to_arrow(_CONTRACT.dataset_columns, _take(columns, part)), folder / f"{number}.parquet"
        options: Any = {"compression": compression, "row_group_size": row_group_size, "use_dictionary": use_dictionary}
        if by_pandas:
            table.to_pandas(types_mapper=pd.ArrowDtype).to_parquet(path, **options)
        else:
            pq.write_table(table, path, **options)
    assert content_digest(_CONTRACT, ds.dataset(folder).to_table()) == _digest(columns)


@PROPERTY
@given(st.lists(st.integers(0, 300), max_size=6))
def test_it_can_be_computed_in_parts_of_whole_days(cuts: list[int]) -> None:
    table = in_order(_CONTRACT, to_arrow(_CONTRACT.dataset_columns, make_columns(300)))
    days = row_groups(_CONTRACT, table)
    digest = ContentDigest(_CONTRACT)
    for part in np.split(np.arange(300), sorted(np.searchsorted(days, days[min(cut, 299)]) for cut in cuts)):
        digest.update(table.take(pa.array(part, pa.int64())))
    assert digest.hexdigest() == content_digest(_CONTRACT, table)


def test_it_is_the_same_on_every_machine() -> None:
    """A golden value: a change would change the identity of every existing dataset."""
    assert _digest(_toy_row(), _TOY) == "72bd6a354bfcfccb2a9f3fd1d74e0189dfceec366471d97bef8ef39dd366cb51"


@pytest.mark.parametrize("name", [column.name for column in _CONTRACT.dataset_columns])
def test_it_sees_a_change_of_one_value_in_any_column(name: str) -> None:
    columns = make_columns(12)
    changed = columns[name].copy()
    if changed.dtype == object:
        changed[5] = {"carrier": "ZZ", "origin": "", "destination": "ZZZ"}[name]
    elif changed.dtype.kind == "M":
        changed[5] += np.timedelta64(1, "us")
    else:
        changed[5] = 1 - changed[5] if np.isfinite(changed[5]) else 1
    assert _digest({**columns, name: changed}) != _digest(columns)


def test_it_sees_a_row_that_is_gone_or_there_twice() -> None:
    columns = make_columns(12)
    found = {_digest(_take(columns, rows)) for rows in (range(12), range(11), [*range(12), 11])}
    assert len(found) == 3


def test_it_sees_the_type_of_a_column() -> None:
    """The same numbers under a contract that calls them whole."""
    toy = Toy()
    toy.field("amount").type = toy.field("id").type
    whole = toy.read()
    assert _digest(_toy_row(), whole) != _digest(_toy_row(), _TOY)


def _toy_row(**changed: Any) -> Columns:
    row: Columns = {
        "at": np.array(["2013-01-01"], dtype="M8[us]"),
        "id": np.array([1.0]),
        "amount": np.array([0.0]),
        "count": np.array([np.nan]),
        "color": np.array(["red"], dtype=object),
        "code": np.array([""], dtype=object),
        "is_new": np.array([0.0]),
        "won": np.array([1.0]),
    }
    return {**row, **changed}


def test_it_knows_one_zero_and_one_missing_value() -> None:
    bits = np.array([0x7FF8_0000_0000_0001], dtype=np.uint64)
    same = _toy_row(amount=np.array([-0.0]), count=bits.view(np.float64))
    assert _digest(same, _TOY) == _digest(_toy_row(), _TOY)


def test_it_sees_where_one_text_ends_and_the_next_begins() -> None:
    columns = make_columns(2)
    one = {**columns, "destination": np.array(["AB", "C"], dtype=object)}
    two = {**columns, "destination": np.array(["A", "BC"], dtype=object)}
    assert _digest(one) != _digest(two)


def test_days_before_1970_are_days_too() -> None:
    at = np.array(["1969-12-31T23:59:59.999999", "1970-01-01T00:00:00"], dtype="M8[us]")
    table = to_arrow(_TOY.dataset_columns, {n: np.repeat(v, 2) for n, v in _toy_row().items()} | {"at": at})
    assert row_groups(_TOY, table).tolist() == [-1, 0]


def test_rows_stand_by_time_then_by_key_text_by_its_bytes() -> None:
    columns = make_columns(4)
    columns["scheduled_departure"] = np.array(["2013-01-02", *["2013-01-01"] * 3], dtype="M8[us]")
    columns["carrier"] = np.array(["AA", "É1", "ZZ", "ZZ"], dtype=object)
    columns["flight_number"] = np.array([1.0, 2.0, 10.0, 9.0])
    table = in_order(_CONTRACT, to_arrow(_CONTRACT.dataset_columns, columns))
    assert table["flight_number"].to_pylist() == [9, 10, 2, 1]


def test_a_frame_of_pandas_and_the_columns_it_came_from_have_one_digest() -> None:
    columns = make_columns(20)
    frame = to_arrow(_CONTRACT.dataset_columns, columns).to_pandas()
    values, mistyped = from_frame(_CONTRACT.dataset_columns, frame)
    assert (_digest(values), mistyped) == (_digest(columns), ())
    back = from_arrow(_CONTRACT.dataset_columns, to_arrow(_CONTRACT.dataset_columns, values))
    assert _digest(back) == _digest(columns)
