"""One bad cell: its row is rejected, named and counted against the budget; all others are kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.datasets import OPTIONS, make_frame

from athanor.data.building.snapshot_build import BuildResult, build_snapshot
from athanor.data.checks.row_checks import REASONS, WHERE
from athanor.data.dataset import Dataset, Tables, Transformed
from athanor.data.sources.delimited import DelimitedFiles
from athanor.errors import DataError
from athanor.home import Home
from projects.delays.model import MODEL

_ROWS = 1_000
_CONTRACT = replace(MODEL.contract, rules=replace(MODEL.contract.rules, rejected_budget=0.01))
_TYPES = {
    "distance": "float64",
    "aircraft_seats": "float64",
    "scheduled_departure": "timestamp[us, tz=UTC]",
    "arrived_late": "bool",
}
_BAD = [
    ("distance", "abc", "'abc' is not a number (TYPE)"),
    ("distance", "1,5", "'1,5' is not a number (TYPE)"),
    ("aircraft_seats", "n/a", "'n/a' is not a "),  # a column that may be missing
    ("scheduled_departure", "2013-06-30T23:59:60Z", "is a leap second"),
    ("scheduled_departure", "2013-01-14 01:20:00", "has no time zone; append one, such as Z"),
    ("arrived_late", "yes", "'yes' is not true or false (TYPE)"),
]


def _write(folder: Path, *bad: tuple[int, str, str]) -> Path:
    frame = make_frame(_ROWS)
    departure = frame["scheduled_departure"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = frame.assign(scheduled_departure=departure, arrived_late=frame["arrived_late"] == 1)
    for row, column, text in bad:
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = text
    frame.to_csv(folder / "flights.csv", index=False)
    return folder / "flights.csv"


def _build(path: Path, transform: Callable[[Tables], Transformed] | None = None, **declared: Any) -> BuildResult:
    source = DelimitedFiles(path, **declared)
    dataset = Dataset(
        {"flights": source}, "flights", transform or (lambda t: Transformed(t["flights"])), batch_rows=300
    )
    return build_snapshot(_CONTRACT, dataset, Home(path.parent / "home"), options=OPTIONS)


@pytest.mark.parametrize("types", [{}, _TYPES], ids=["undeclared", "declared"])
@pytest.mark.parametrize(("column", "text", "words"), _BAD)
def test_one_bad_cell_costs_one_row(tmp_path: Path, column: str, text: str, words: str, types: dict[str, str]) -> None:
    built = _build(_write(tmp_path, (500, column, text)), types=types)
    assert built.snapshot.rejected == {f"{column} TYPE": 1}
    assert (built.snapshot.rows_in, built.snapshot.rows_out) == (_ROWS, _ROWS - 1)
    (finding,) = built.findings
    assert words in finding.samples[0]
    assert built.quarantine is not None
    (row,) = pq.read_table(built.quarantine).to_pylist()
    assert row[REASONS] == [f"{column} TYPE"]
    assert row[WHERE] == ("flights.csv, row 502" if types else None)


@pytest.mark.parametrize("types", [{}, _TYPES], ids=["undeclared", "declared"])
def test_beyond_the_budget_the_first_texts_are_named(tmp_path: Path, types: dict[str, str]) -> None:
    path = _write(tmp_path, *((row, "distance", f"bad {row}") for row in range(0, 1_000, 50)))
    with pytest.raises(DataError) as refused:
        _build(path, types=types)
    assert "REJECTED_BUDGET: 20 of 1000 rows (2.00%) break a rule, allowed: 1.00%" in str(refused.value)
    for row in (0, 50, 100):
        assert f"'bad {row}' is not a number (TYPE)" in str(refused.value)


def test_a_bad_cell_and_a_bad_row_are_both_counted(tmp_path: Path) -> None:
    built = _build(_write(tmp_path, (5, "distance", "abc"), (6, "distance", "-1")), types=_TYPES)
    assert built.snapshot.rejected == {"distance TYPE": 1, "distance MINIMUM": 1}
    assert built.snapshot.rows_in == built.snapshot.rows_out + 2


def test_a_bad_cell_of_a_column_that_the_transform_leaves_out_costs_no_row(tmp_path: Path) -> None:
    path = _write(tmp_path)
    frame = pd.read_csv(path, dtype=str).assign(note=[str(row) if row else "none" for row in range(_ROWS)])
    frame.to_csv(path, index=False)
    built = _build(path, lambda t: Transformed(t["flights"].drop(columns="note")))
    assert built.snapshot.rows_out == _ROWS


def test_a_text_column_of_digits_and_letters_stays_text(tmp_path: Path) -> None:
    path = _write(tmp_path, *((row, "carrier", "77") for row in range(_ROWS - 1)))
    assert _build(path).snapshot.rows_out == _ROWS


def test_a_transform_that_cannot_compute_with_the_text_is_explained(tmp_path: Path) -> None:
    path = _write(tmp_path, (500, "distance", "abc"))
    words = r"TypeError.*: flights\.distance; distance has 'abc' in flights\.csv, row 502\. .*types=\{'distance'"
    with pytest.raises(DataError, match=words):
        _build(path, lambda t: Transformed(t["flights"].assign(distance=t["flights"]["distance"] / 2)))


@pytest.mark.parametrize("text", ["2013-06-30T23:59:60Z", "2013-01-14 01:20:00", "noon"])
def test_a_transform_that_cannot_shift_a_time_is_explained(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path, (500, "scheduled_departure", text))
    at, hour = "scheduled_departure", pd.Timedelta(hours=1)
    with pytest.raises(DataError, match=rf"scheduled_departure has '{text}' in flights\.csv, row 502"):
        _build(path, lambda t: Transformed(t["flights"].assign(**{at: t["flights"][at] + hour})))


def test_what_a_transform_makes_of_the_text_is_no_number(tmp_path: Path) -> None:
    path = _write(tmp_path, (500, "aircraft_seats", "n/a"))
    with pytest.raises(DataError, match=r"aircraft_seats TYPE: .* is str"):
        _build(path, lambda t: Transformed(t["flights"].assign(aircraft_seats=t["flights"]["aircraft_seats"] + "")))


def test_a_joined_table_with_a_bad_cell_is_refused_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path)
    (tmp_path / "planes.csv").write_text("tail,seats\n1,100\n2,many\n")
    dataset = Dataset(
        {"flights": DelimitedFiles(path), "planes": DelimitedFiles(tmp_path / "planes.csv", types={"seats": "int64"})},
        "flights",
        lambda t: Transformed(t["flights"]),
    )
    with pytest.raises(DataError, match=r"source planes is .*column 'seats': planes\.csv, row 3: 'many' is not"):
        build_snapshot(_CONTRACT, dataset, Home(tmp_path / "home"), options=OPTIONS)
