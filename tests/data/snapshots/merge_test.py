"""Ingests that read only what is new: rows go over those before them by key, and every one is counted."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.datasets import OPTIONS, make_dataset, make_frame, make_incremental
from support.properties import SLOW_PROPERTY

from athanor.contract.contract import Contract
from athanor.data.building.snapshot_build import BuildResult, build_snapshot
from athanor.data.dataset import Tables, Transformed
from athanor.data.snapshots.digest import content_digest
from athanor.data.snapshots.snapshot import read_snapshot
from athanor.data.sources.function import FunctionSource
from athanor.data.tables.tables import from_frame, to_arrow
from athanor.errors import ContractError
from athanor.home import Home
from projects.delays.model import MODEL

_CONTRACT = MODEL.contract
_KEY = ["scheduled_departure", "carrier", "flight_number"]


class Database:
    """A table that grows, and remembers what was asked of it."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.asked: list[datetime | None] = []

    def read(self, since: datetime | None) -> pd.DataFrame:
        self.asked.append(since)
        return (
            self.frame if since is None else self.frame[self.frame["scheduled_departure"] >= since - timedelta(days=1)]
        )

    def build(self, home: Home, **options: Any) -> BuildResult:
        return build_snapshot(_CONTRACT, make_incremental(self.read), home, options=replace(OPTIONS, **options))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _digest(frame: pd.DataFrame) -> str:
    values, _ = from_frame(_CONTRACT.dataset_columns, frame)
    return content_digest(_CONTRACT, to_arrow(_CONTRACT.dataset_columns, values))


def test_the_first_ingest_reads_all_and_the_next_from_the_last_event_on(home: Home) -> None:
    whole = make_frame(600)
    database = Database(whole.iloc[:500])
    first = database.build(home).snapshot
    database.frame = whole
    second = database.build(home).snapshot
    assert database.asked == [None, whole["scheduled_departure"].iloc[499].to_pydatetime()]
    assert (first.rows_in, first.rows_out, first.carried, first.changes) == (500, 500, 0, {})
    day = int(timedelta(days=1) / timedelta(minutes=37)) + 1
    assert second.rows_in == 100 + day
    assert second.changes == {"added": 100, "replaced": 0, "unchanged": day}
    assert (second.carried, second.rows_out, second.parent) == (500 - day, 600, first.version)
    assert second.digest == _digest(whole)


def test_late_rows_replace_rows_with_the_same_key(home: Home) -> None:
    database = Database(make_frame(600))
    database.build(home)
    late = make_frame(600)
    late.loc[595:, "temperature"] = 70.0
    late.loc[590:594, "temperature"] = np.nan
    database.frame = late
    second = database.build(home).snapshot
    assert second.changes["replaced"] == 10 - int(make_frame(600)["temperature"].iloc[590:595].isna().sum())
    assert second.changes["added"] == 0
    assert second.digest == _digest(late)


def test_an_ingest_without_new_rows_makes_no_version(home: Home) -> None:
    database = Database(make_frame(600))
    first = database.build(home)
    again = database.build(home)
    assert (again.is_new, again.snapshot) == (False, first.snapshot)
    # What the source gave is another part of the table than the first time; the third time it is the same again.
    assert [database.build(home).is_raw_new, again.is_raw_new] == [False, True]


def test_all_is_read_again_when_that_is_asked_for(home: Home) -> None:
    database = Database(make_frame(600))
    database.build(home)
    database.frame = make_frame(600).iloc[10:]
    second = database.build(home, is_full=True).snapshot
    assert database.asked == [None, None]
    assert (second.rows_out, second.carried) == (590, 0)


def test_all_rows_are_read_again_after_a_change_in_a_joined_table(home: Home) -> None:
    """Rows that were carried over would not know of it."""
    database, factors = Database(make_frame(600)), [1.0]

    def read_factors() -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"factor": factors})

    def transform(tables: Tables) -> Transformed:
        return Transformed(tables["flights"].assign(distance=1_000.0 * tables["factors"]["factor"].iloc[0]))

    incremental = make_incremental(database.read)
    sources = {**incremental.sources, "factors": FunctionSource(read_factors)}
    dataset = replace(incremental, sources=sources, transform=transform)
    for factor in (1.0, 2.0):
        factors[0] = factor
        snapshot = build_snapshot(_CONTRACT, dataset, home, options=OPTIONS).snapshot
        rows = read_snapshot(_CONTRACT, home.datasets, snapshot)
        assert set(rows["distance"]) == {1_000.0 * factor}
        assert len(rows["distance"]) == 600


_WIDER: Final = tuple(
    replace(column, maximum=7_000) if column.name == "distance" else column for column in _CONTRACT.columns
)


@pytest.mark.parametrize(
    "changed",
    [
        replace(_CONTRACT, columns=_WIDER),
        replace(_CONTRACT, rules=replace(_CONTRACT.rules, leakage_budget=0.99)),
    ],
    ids=["wire", "budgets"],
)
def test_all_is_read_again_under_another_contract(home: Home, changed: Contract) -> None:
    """The earlier rows may break the new contract, or exceed its budgets."""
    database = Database(make_frame(600))
    database.build(home)
    build_snapshot(changed, make_incremental(database.read), home, options=OPTIONS)
    assert database.asked == [None, None]


def test_a_key_that_is_read_twice_lets_the_row_there_was_stay(home: Home) -> None:
    lenient = replace(_CONTRACT, rules=replace(_CONTRACT.rules, rejected_budget=0.1))
    whole = make_frame(601)
    database = Database(whole.iloc[:600])
    build_snapshot(lenient, make_incremental(database.read), home, options=OPTIONS)
    database.frame = pd.concat([whole, whole.iloc[[599]].assign(temperature=1.0)])
    built = build_snapshot(lenient, make_incremental(database.read), home, options=OPTIONS)
    assert built.snapshot.rejected == {"UNIQUE": 2}
    assert built.snapshot.changes["added"] == 1
    assert built.snapshot.digest == _digest(whole)
    assert built.quarantine is not None


@SLOW_PROPERTY
@given(st.lists(st.sampled_from(["same", "changed", "gone"]), min_size=60, max_size=60), st.integers(0, 20))
def test_counts_add_up_and_rows_match_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, fates: list[str], more: int
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    whole = make_frame(60 + more)
    before = whole.iloc[:60]
    after = whole[[fate != "gone" for fate in fates] + [True] * more].copy()
    changed = [fate == "changed" for fate in fates if fate != "gone"] + [False] * more
    after.loc[changed, "distance"] = 4_321.0
    build_snapshot(_CONTRACT, make_incremental(lambda since: before), home, options=OPTIONS)
    built = build_snapshot(_CONTRACT, make_incremental(lambda since: after), home, options=OPTIONS)
    rows = {tuple(row[_KEY]): row for _, row in before.iterrows()} | {
        tuple(row[_KEY]): row for _, row in after.iterrows()
    }
    assert built.snapshot.digest == _digest(pd.DataFrame(rows.values()).astype(before.dtypes))
    counts = {"added": more, "replaced": fates.count("changed"), "unchanged": fates.count("same")}
    if built.is_new:
        assert built.snapshot.changes == counts
        assert built.snapshot.rows_in + built.snapshot.carried == built.snapshot.rows_out
        assert built.snapshot.carried == fates.count("gone")
    else:
        assert (counts["added"], counts["replaced"]) == (0, 0)


def test_only_the_main_source_can_be_incremental() -> None:
    incremental = make_incremental(lambda since: make_frame(1))
    sources = {"rains": make_dataset(make_frame(1)).sources["flights"], **incremental.sources}
    with pytest.raises(ContractError, match="source flights is incremental; only the main source, rains, can be"):
        replace(incremental, sources=sources, main="rains")
