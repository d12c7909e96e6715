"""Tables without time or key, with any label, and small or hard ones: a sound snapshot or a clear refusal."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from support.datasets import OPTIONS
from support.protos import Toy
from support.toys import (
    make_columns,
    take,
    with_categories,
    with_group,
    with_number,
    with_weight,
    without_key,
    without_time,
)

from athanor.contract.columns import Columns, Kind
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.building.snapshot_build import BuildResult, StagedBuild, build_snapshot, stage_build
from athanor.data.dataset import Dataset, Transformed
from athanor.data.profiles.references import TimeSlice, profile_committed, read_reference
from athanor.data.report.page import DataReport, render
from athanor.data.snapshots.snapshot import read_snapshot
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.function import FunctionSource
from athanor.data.sources.source import Source
from athanor.errors import ContractError, DataError
from athanor.home import Home
from athanor.progress import Unwatched


def _without_both(toy: Toy) -> Toy:
    return without_key(without_time(toy))


def _as_it_is(toy: Toy) -> Toy:
    return toy


def _with_count(toy: Toy) -> Toy:
    return with_number(toy, "uint32")


_SHAPES: Final = {"both": _as_it_is, "no time": without_time, "no key": without_key, "neither": _without_both}
_LABELS: Final = {"truth": _as_it_is, "category": with_categories, "number": with_number, "count": _with_count}


def _read(*edits: Callable[[Toy], Toy]) -> Contract:
    toy = Toy()
    toy.row.options.Extensions[options_pb2.dataset].leakage_budget = 0.9
    for edit in edits:
        toy = edit(toy)
    for name in ("amount", "color"):
        toy.column(name).may_be_missing = True
    return toy.read()


def _to_frame(contract: Contract, columns: Columns) -> pd.DataFrame:
    frame = pd.DataFrame(dict(columns))
    for column in contract.dataset_columns:
        if column.kind is Kind.TIMESTAMP:
            frame[column.name] = pd.to_datetime(frame[column.name], utc=True)
    return frame


def _dataset(source: Source) -> Dataset:
    return Dataset({"rows": source}, "rows", lambda tables: Transformed(tables["rows"]))


def _of(frame: pd.DataFrame) -> Dataset:
    return _dataset(FunctionSource(lambda: iter([frame])))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _build(contract: Contract, columns: Columns, home: Home) -> BuildResult:
    return build_snapshot(contract, _of(_to_frame(contract, columns)), home, options=OPTIONS)


def _examine(contract: Contract, dataset: Dataset, home: Home) -> StagedBuild:
    with stage_build(contract, dataset, home, Unwatched(), OPTIONS) as examined:
        return examined


def _rules(examined: StagedBuild) -> list[str]:
    return [finding.rule for finding in examined.findings]


@pytest.mark.parametrize("label", list(_LABELS))
@pytest.mark.parametrize("shape", list(_SHAPES))
def test_a_table_of_any_shape_becomes_a_snapshot(home: Home, shape: str, label: str) -> None:
    contract = _read(_LABELS[label], _SHAPES[shape])
    columns = make_columns(contract, 300)
    built = _build(contract, columns, home)
    assert (built.snapshot.rows_out, built.findings) == (300, ())
    assert [note.rule for note in built.notes] == [
        *(["NO_EVENT_TIME"] if contract.event_time is None else []),
        *(["NO_KEY"] if not contract.key else []),
    ]
    read = read_snapshot(contract, home.datasets, built.snapshot)
    for name, values in columns.items():
        assert sorted(map(str, read[name])) == sorted(map(str, values)), name
    again = _build(contract, take(columns, np.random.default_rng(0).permutation(300)), home)
    assert (again.is_new, again.snapshot) == (False, built.snapshot)


def test_equal_rows_are_kept_and_told(home: Home) -> None:
    contract = _read(_without_both)
    columns = take(make_columns(contract, 100), np.append(np.arange(100), [3, 3, 7]))
    built = _build(contract, columns, home)
    assert (built.snapshot.rows_out, built.snapshot.equal_rows, built.snapshot.rejected) == (103, 3, {})
    assert str(built.notes[-1]) == (
        "NO_KEY: the contract has no column with ROLE_KEY: UNIQUE is not checked. Rows that repeat another in all "
        "columns are kept: 3 of 103 (2.91%)"
    )


def test_a_row_without_a_key_is_named_by_its_first_columns(home: Home) -> None:
    contract = _read(_without_both)
    columns = make_columns(contract, 100)
    columns["amount"][41], columns["count"][41], columns["color"][41] = -1.0, np.nan, "red"
    built = _build(contract, columns, home)
    assert built.snapshot.rejected == {"amount MINIMUM": 1}
    (finding,) = built.findings
    assert finding.samples == (
        "(amount -1, count missing, color red): -1.0 is not allowed (MINIMUM); give a number from 0 to 9 kg",
    )


@pytest.mark.parametrize("shape", ["no time", "no key", "neither"])
def test_an_incremental_source_needs_time_and_key(home: Home, shape: str) -> None:
    contract = _read(_SHAPES[shape])
    frame = _to_frame(contract, make_columns(contract, 20))

    def read(since: datetime | None) -> Iterator[pd.DataFrame]:
        yield frame

    dataset = _dataset(FunctionSource(read))
    lacking = {"no time": "EVENT_TIME", "no key": "KEY", "neither": "EVENT_TIME and none with ROLE_KEY"}[shape]
    with pytest.raises(ContractError, match=rf"source rows is incremental, but .* no column with ROLE_{lacking}: an"):
        build_snapshot(contract, dataset, home, options=OPTIONS)
    full = OPTIONS.__class__(as_of=OPTIONS.as_of, is_full=True)
    assert build_snapshot(contract, dataset, home, options=full).snapshot.rows_out == 20


def test_groups_and_weights_are_validated_and_stored(home: Home) -> None:
    contract = _read(with_group, with_weight)
    columns = make_columns(contract, 200)
    columns["weight"][5], columns["customer"][9] = -0.5, ""
    built = _build(contract, columns, home)
    assert built.snapshot.rejected == {"weight MINIMUM": 1, "customer REQUIRED": 1}
    read = read_snapshot(contract, home.datasets, built.snapshot)
    np.testing.assert_array_equal(read["weight"], np.delete(columns["weight"], [5, 9]))


def test_weights_that_are_all_zero_are_refused(home: Home) -> None:
    contract = _read(with_weight)
    columns = {**make_columns(contract, 200), "weight": np.zeros(200)}
    with pytest.raises(DataError, match="weight NO_WEIGHT: the weight is 0 in all 200 rows; no row would count"):
        _build(contract, columns, home)


@pytest.mark.parametrize(
    ("label", "name", "value", "shown"),
    [
        ("truth", "won", 1.0, "true"),
        ("category", "fruit", "pear", "'pear'"),
        ("number", "price", 2.5, "2.5"),
        ("count", "price", 3.0, "3"),
    ],
)
def test_a_constant_label_is_refused(home: Home, label: str, name: str, value: Any, shown: str) -> None:
    contract = _read(_LABELS[label])
    columns = make_columns(contract, 50)
    columns[name][:] = value
    with pytest.raises(
        DataError, match=rf"{name} CONSTANT_LABEL: the label is {shown} in all 50 rows; there is nothing"
    ):
        _build(contract, columns, home)


@pytest.mark.parametrize(
    ("label", "leak", "message"),
    [
        ("truth", lambda columns: columns["won"], r"a ROC AUC of 1\.000, allowed: 0\.9; it probably contains"),
        (
            "category",
            lambda columns: columns["fruit"] == "plum",
            r"a ROC AUC of 1\.000 \('plum' against the rest\), allowed",
        ),
        ("number", lambda columns: columns["price"] / 50 + 4, r"a concordance of 1\.000, allowed: 0\.9; it probably"),
        ("count", lambda columns: columns["price"] / 20, r"a concordance of 1\.000, allowed"),
    ],
)
@pytest.mark.parametrize("shape", list(_SHAPES))
def test_a_label_of_any_kind_that_leaks_is_refused(
    home: Home, shape: str, label: str, leak: Callable[[Columns], Any], message: str
) -> None:
    contract = _read(_LABELS[label], _SHAPES[shape])
    columns = make_columns(contract, 300)
    columns["amount"] = np.asarray(leak(columns), dtype=np.float64)
    with pytest.raises(DataError, match=rf"amount LEAKAGE: it alone predicts the label \w+ with {message}"):
        _build(contract, columns, home)


def test_a_category_that_no_row_has_is_told(home: Home) -> None:
    contract = _read(with_categories)
    columns = make_columns(contract, 50)
    columns["fruit"][columns["fruit"] == "pear"] = "plum"
    assert [str(note) for note in _build(contract, columns, home).notes] == [
        "NO_ROW_OF_CATEGORY: fruit is 'pear' in no row"
    ]


@pytest.mark.parametrize("label", list(_LABELS))
@pytest.mark.parametrize("shape", list(_SHAPES))
def test_a_small_or_hard_table_is_refused_by_name_or_is_sound(home: Home, shape: str, label: str) -> None:
    contract = _read(_LABELS[label], _SHAPES[shape])
    expected = {0: ["EMPTY"], 1: ["CONSTANT_LABEL"], 2: [], 12: []}
    for rows, rules in expected.items():
        columns = make_columns(contract, rows)
        if rows == 2:
            columns[contract.label.name] = {"category": np.array(["pear", "plum"], dtype=object)}.get(
                label, np.arange(2.0)
            )
        examined = _examine(contract, _of(_to_frame(contract, columns)), home)
        assert _rules(examined) == rules, rows
        assert ("FEW_ROWS" in [note.rule for note in examined.notes]) is (rows > 0), rows


_OPTIONAL: Final = ("count", "code", "is_new", "amount", "color")


@pytest.mark.parametrize("shape", list(_SHAPES))
@pytest.mark.parametrize("from_csv", [True, False])
def test_columns_that_are_all_missing_are_refused_by_their_budget_or_told(
    home: Home, tmp_path: Path, shape: str, from_csv: bool
) -> None:
    contract = _read(_SHAPES[shape])
    columns = make_columns(contract, 12)
    columns |= {name: contract.column(name).missing(12) for name in _OPTIONAL}
    dataset = _of(_to_frame(contract, columns))
    if from_csv:
        _to_frame(contract, columns).to_csv(tmp_path / "rows.csv", index=False)
        dataset = _dataset(DelimitedFiles(str(tmp_path / "rows.csv")))
    examined = _examine(contract, dataset, home)
    (finding,) = examined.findings
    assert finding.message == "count MISSING_BUDGET: missing in 12 rows (100.00%), allowed: 50.00%"
    assert str(examined.notes[-1]) == "NO_VALUE: no row has a value of amount, count, color, code, is_new"


def test_a_page_shows_what_was_left_out_and_a_chart_of_a_label_of_any_kind(home: Home) -> None:
    for label in _LABELS:
        contract = _read(_LABELS[label], _without_both)
        dataset = _of(_to_frame(contract, make_columns(contract, 60)))
        with stage_build(contract, dataset, home, Unwatched(), OPTIONS) as staged:
            own = profile_committed(contract, staged.staged, Unwatched())
            page = render(DataReport("toy", {}, contract.dataset_columns, staged.findings, own, notes=staged.notes))
        assert (
            '<span class="code">NO_EVENT_TIME</span> the contract has no column with ROLE_EVENT_TIME: FUTURE, GAP'
            in page
        )
        card = page[page.index(f'id="column-{contract.label.name}"') :]
        assert f"<title>{contract.label.name}: distribution</title>" in card


def test_a_profile_of_a_table_without_time_has_no_slices(home: Home) -> None:
    contract = _read(_without_both)
    snapshot = _build(contract, make_columns(contract, 30), home).snapshot
    whole = TimeSlice(contract, home.datasets, snapshot)
    assert (whole.rows, whole.name) == (30, "version 0")
    assert profile_committed(contract, whole, Unwatched()).rows == 30
    with pytest.raises(
        DataError, match="rows cannot be chosen by time, because the contract has no column with ROLE_EV"
    ):
        read_reference(contract, home.datasets, "2013-09-01..", Unwatched())
