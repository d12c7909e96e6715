"""Datasets without an event time or a key: their order and digest depend on the values of their rows alone."""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import SLOW_PROPERTY
from support.protos import Toy
from support.snapshots import commit_columns
from support.toys import make_columns, take, without_key, without_time

from athanor.contract.contract import Contract
from athanor.data.snapshots import staging as staging_module
from athanor.data.snapshots.digest import content_digest
from athanor.data.snapshots.order import in_order, row_digests, row_groups
from athanor.data.snapshots.snapshot import read_slice, read_snapshot
from athanor.data.snapshots.staging import Staged, Staging
from athanor.data.tables.tables import to_arrow
from athanor.errors import DataError

_TIMELESS: Final = without_time(Toy()).read()
_KEYLESS: Final = without_key(Toy()).read()
_BARE: Final = without_key(without_time(Toy())).read()
_ALL: Final = pytest.mark.parametrize("contract", [_TIMELESS, _KEYLESS, _BARE], ids=["no time", "no key", "neither"])
_MEMORIES: Final = (2**30, 1, 20_000)


def _table(contract: Contract, rows: int, seed: int = 0) -> pa.Table:
    return to_arrow(contract.dataset_columns, make_columns(contract, rows, seed))


def _stage(contract: Contract, folder: Path, tables: Sequence[pa.Table], memory_bytes: int = 2**30) -> Staged:
    with Staging(contract, folder / contract.name, memory_bytes) as staging:
        for table in tables:
            staging.add(table)
        return staging.stage(lambda words, amount=1: None)


def _read(staged: Staged) -> pa.Table:
    return pa.concat_tables([pq.read_table(file.path) for file in staged.files])


def _shuffle(table: pa.Table, seed: int) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


@_ALL
@pytest.mark.parametrize("memory_bytes", _MEMORIES)
@pytest.mark.parametrize("chunk_rows", [1, 10_000])
def test_neither_source_order_nor_memory_change_order_and_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: Contract, memory_bytes: int, chunk_rows: int
) -> None:
    monkeypatch.setattr(staging_module, "_CHUNK_ROWS", chunk_rows)
    table = _table(contract, 1_000)
    expected = in_order(contract, table)
    shuffled = _shuffle(table, seed=3)
    staged = _stage(contract, tmp_path, [shuffled.slice(0, 400), shuffled.slice(400)], memory_bytes)
    assert _read(staged).equals(expected)
    assert staged.digest == content_digest(contract, shuffled) == content_digest(contract, table)
    assert Counter(map(str, expected.to_pylist())) == Counter(map(str, table.to_pylist()))


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (_TIMELESS, "14252aab9e9c84bbf7b76f3ee421d286230422072324c910faf6e348f4d44b9b"),
        (_KEYLESS, "025add17b87390356431ec9bc4722a9cae6e213fc24bb43fe703896242cdcb6c"),
        (_BARE, "553454fed9f46e8af3147a27b575995d03ec892f0d14a11ead0785a55099bddf"),
    ],
    ids=["no time", "no key", "neither"],
)
def test_the_digest_stays_the_same_in_every_version(contract: Contract, expected: str) -> None:
    assert content_digest(contract, _write(contract)) == expected


def _write(contract: Contract) -> pa.Table:
    return to_arrow(contract.dataset_columns, _WRITTEN)


_WRITTEN: Final = {
    "at": np.array(["2013-01-01T12:30", "2013-01-01T00:00", "2012-12-31T23:59:59.999999"], dtype="M8[us]"),
    "id": np.array([7.0, 8.0, 9.0]),
    "amount": np.array([0.1, -0.0, 3.25]),
    "count": np.array([np.nan, 0.0, 4294967295.0]),
    "color": np.array(["red", "green", "red"], dtype=object),
    "code": np.array(["", "ÄÖ", "A"], dtype=object),
    "is_new": np.array([np.nan, 0.0, 1.0]),
    "won": np.array([0.0, 1.0, 1.0]),
}


def test_the_digest_of_a_row_is_that_of_its_numbers_and_of_the_digests_of_its_texts() -> None:
    def hash_text(text: str) -> bytes:
        return blake2b(text.encode(), digest_size=16).digest()

    expected = [
        blake2b(
            struct.pack("<dd", amount, count) + hash_text(color) + hash_text(code) + struct.pack("<dd", is_new, won),
            digest_size=16,
        )
        for amount, count, color, code, is_new, won in (
            (0.1, np.nan, "red", "", np.nan, 0),
            (0.0, 0, "green", "ÄÖ", 0, 1),
            (3.25, 4294967295, "red", "A", 1, 1),
        )
    ]
    high, low = row_digests(_write(_BARE))
    assert [struct.pack(">QQ", *halves) for halves in zip(high.tolist(), low.tolist(), strict=True)] == [
        digest.digest() for digest in expected
    ]


_CHANGES: Final[dict[str, Callable[[Any], Any]]] = {
    "O": lambda text: f"{text}?",
    "M": lambda instant: instant + np.timedelta64(1, "us"),
}


@_ALL
def test_each_value_is_in_the_digest(contract: Contract) -> None:
    columns = make_columns(contract, 20)
    whole = content_digest(contract, to_arrow(contract.dataset_columns, columns))
    for name, values in columns.items():
        other = values.copy()
        other[7] = _CHANGES.get(other.dtype.kind, lambda value: 1 - np.nan_to_num(value))(other[7])
        changed = to_arrow(contract.dataset_columns, {**columns, name: other})
        assert content_digest(contract, changed) != whole, name


def test_groups_of_rows_without_time_are_even_and_hold_whole_keys() -> None:
    table = _table(_TIMELESS, 40_960)
    groups = row_groups(_TIMELESS, table)
    assert (groups.min(), groups.max()) == (0, 4_095)
    # Poisson of 10 rows a group.
    assert np.bincount(groups).max() < 30
    again = row_groups(_TIMELESS, to_arrow(_TIMELESS.dataset_columns, {**make_columns(_TIMELESS, 40_960, seed=1)}))
    np.testing.assert_array_equal(groups, again)
    assert np.all(np.diff(row_groups(_TIMELESS, in_order(_TIMELESS, table))) >= 0)


def test_without_a_key_rows_of_one_moment_are_ordered_by_their_digest() -> None:
    columns = make_columns(_KEYLESS, 300)
    columns["at"] = np.repeat(columns["at"][:3], 100)
    table = to_arrow(_KEYLESS.dataset_columns, columns)
    expected = in_order(_KEYLESS, table)
    assert expected["at"].to_pylist() == sorted(expected["at"].to_pylist())
    for seed in range(3):
        assert in_order(_KEYLESS, _shuffle(table, seed)).equals(expected)


def test_equal_rows_have_equal_digests_however_their_values_came() -> None:
    """A zero has one sign, and a missing value one form."""
    rows = pa.table({"number": [0.0, -0.0, 1.0, None, None], "text": ["a", "a", "a", "", None]})
    high, low = row_digests(rows)
    halves = list(zip(high.tolist(), low.tolist(), strict=True))
    assert [halves.index(one) for one in halves] == [0, 0, 2, 3, 3]


def test_a_text_is_not_split_otherwise_between_two_columns() -> None:
    one, other = (row_digests(pa.table({"a": [a], "b": [b]})) for a, b in (("ab", "c"), ("a", "bc")))
    assert one != other


@SLOW_PROPERTY
@given(st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=6), st.sampled_from(_MEMORIES))
def test_equal_rows_are_kept_and_counted_without_a_key(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], memory_bytes: int
) -> None:
    distinct = _table(_BARE, 13)
    tables = [distinct.take(pa.array(batch, pa.int64())) for batch in batches]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(staging_module, "_CHUNK_ROWS", 3)
        staged = _stage(_BARE, tmp_path_factory.mktemp("staging"), tables, memory_bytes)
    chosen = [row for batch in batches for row in batch]
    assert (staged.rows, staged.equal_rows) == (len(chosen), len(chosen) - len(set(chosen)))
    assert staged.repeated == []


def test_rows_that_share_their_key_are_set_aside_without_time_too(tmp_path: Path) -> None:
    columns = make_columns(_TIMELESS, 400)
    again = take(make_columns(_TIMELESS, 400, seed=1), [5, 17, 399])
    tables = [to_arrow(_TIMELESS.dataset_columns, part) for part in (columns, again)]
    staged = _stage(_TIMELESS, tmp_path, tables, memory_bytes=1)
    assert (staged.rows, staged.equal_rows) == (397, 0)
    repeated = pa.concat_tables(staged.repeated)["id"].to_pylist()
    assert Counter(repeated) == {6: 2, 18: 2, 400: 2}


def test_a_snapshot_without_time_is_read_as_it_was_committed(tmp_path: Path) -> None:
    columns = make_columns(_BARE, 200)
    doubled: dict[str, Any] = {name: np.concatenate([values, values[:5]]) for name, values in columns.items()}
    snapshot, is_new = commit_columns(_BARE, doubled, tmp_path)
    assert (is_new, snapshot.rows_out, snapshot.equal_rows) == (True, 205, 5)
    assert (snapshot.first_event, snapshot.last_event) == ("", "")
    expected = in_order(_BARE, to_arrow(_BARE.dataset_columns, doubled))
    read = read_snapshot(_BARE, tmp_path, snapshot)
    assert to_arrow(_BARE.dataset_columns, read).equals(expected)
    shuffled = take(doubled, np.random.default_rng(1).permutation(205))
    assert commit_columns(_BARE, shuffled, tmp_path) == (snapshot, False)


def test_a_slice_of_time_is_refused_without_event_times(tmp_path: Path) -> None:
    snapshot, _ = commit_columns(_BARE, make_columns(_BARE, 20), tmp_path)
    whole = read_slice(_BARE, tmp_path, snapshot, None, None)
    assert len(whole["won"]) == 20
    with pytest.raises(DataError, match="toy: rows cannot be chosen by time, because the contract has no column with"):
        read_slice(_BARE, tmp_path, snapshot, np.datetime64("2013-01-01"), None)


@pytest.mark.parametrize("make", [without_time, without_key])
def test_no_row_at_all_can_be_staged(tmp_path: Path, make: Callable[[Toy], Toy]) -> None:
    contract = make(Toy()).read()
    staged = _stage(contract, tmp_path, [_table(contract, 0)])
    assert (staged.rows, staged.time_range, staged.read_range, staged.labels) == (0, None, None, ())
    assert staged.digest == content_digest(contract, _table(contract, 0))


def test_samples_of_rows_without_time_are_of_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "_SAMPLE_ROWS", 100)
    staged = _stage(_TIMELESS, tmp_path, [_table(_TIMELESS, 1_000)])
    assert staged.sample.num_rows == 100
    # Every tenth by the digest, and not by the key.
    assert pc.count_distinct(pc.bit_wise_and(staged.sample["id"], 7)).as_py() == 8
