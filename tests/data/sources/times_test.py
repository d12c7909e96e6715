"""An instant or a date of any unit and range is read as it is, or refused in words: none wraps."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sources import ingest, write

from athanor.data.sources.columns.types import problem
from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.function import FunctionSource
from athanor.data.sources.parquet import ParquetFiles
from athanor.errors import DataError

_LAST, _FIRST = datetime.fromisoformat("9999-12-31T23:59:59.999999"), datetime.fromisoformat("0001-01-01")
_INSTANTS = [_LAST, _FIRST, None, *map(datetime.fromisoformat, ("1969-12-31T23:59:59.999999", "1500-02-28T05:03:02"))]


def _spark(path: Path, instants: pa.Array, **others: Any) -> Path:
    """A file as Spark writes it: instants of 96 bits."""
    table = pa.table({"id": range(len(instants)), "at": instants, **others})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True, row_group_size=100)
    return path


def test_instants_of_96_bits_are_read_over_the_whole_calendar(here: Path, kept: Path) -> None:
    table = ingest(ParquetFiles(_spark(here / "a.parquet", pa.array(_INSTANTS, pa.timestamp("us")))), kept)
    assert table["at"].type == pa.timestamp("us")
    assert table["at"].to_pylist() == _INSTANTS


def test_nested_instants_of_96_bits_are_read_over_the_whole_calendar(here: Path, kept: Path) -> None:
    nested = pa.array([{"at": instant} for instant in _INSTANTS], pa.struct([("at", pa.timestamp("us"))]))
    table = ingest(ParquetFiles(_spark(here / "a.parquet", nested)), kept)
    assert table["at"].to_pylist() == [{"at": instant} for instant in _INSTANTS]


@pytest.mark.parametrize("columns", [(), ("at",)])
def test_an_instant_of_96_bits_beyond_64_bits_of_microseconds_is_refused(
    here: Path, kept: Path, columns: tuple[str, ...]
) -> None:
    seconds = [0] * 250
    seconds[207] = 9_467_000_000_000  # the year 301,968
    instants = pa.array(seconds, pa.int64()).cast(pa.timestamp("s"))
    path = _spark(here / "a.parquet", instants)
    words = r"a\.parquet, row 208: column 'at' has the instant 301967-\d\d-\d\dT.*, which is outside of 64 bits"
    with pytest.raises(DataError, match=words):
        ingest(ParquetFiles(path, columns=columns), kept, batch_rows=60)
    assert ingest(ParquetFiles(path, columns=("id",)), kept).num_rows == 250


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates_are_read_over_the_whole_calendar(here: Path, kept: Path, kind: pa.DataType) -> None:
    dates = [date(9999, 12, 31), date(1, 1, 1), None, date(1969, 12, 31)]
    pq.write_table(pa.table({"day": pa.array(dates, kind)}), here / "a.parquet")
    assert ingest(ParquetFiles(here), kept)["day"].to_pandas().tolist() == dates


@pytest.mark.parametrize(
    ("days", "shown"), [(2_932_897, "10000-01-01"), (-719_163, "0000-12-31"), (2**31 - 1, "5881580")]
)
def test_a_date_outside_of_the_calendar_is_refused(here: Path, kept: Path, days: int, shown: str) -> None:
    dates = pa.array([None, 0, 1, days, 2], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"id": range(5), "day": dates}), here / "a.parquet", row_group_size=2)
    with pytest.raises(
        DataError, match=rf"a\.parquet, row 4: column 'day' has the date {shown}.*, which is outside of"
    ):
        ingest(ParquetFiles(here), kept)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_of_a_parquet_file_keep_their_unit_and_value(here: Path, kept: Path, unit: str) -> None:
    values = [2**62 // 1000 if unit == "s" else 2**62, None, -(2**53), 0]
    pq.write_table(pa.table({"at": pa.array(values, pa.int64()).cast(pa.timestamp(unit))}), here / "a.parquet")
    column = ingest(ParquetFiles(here), kept)["at"]
    scale = 1000 if unit == "s" else 1  # Parquet has no seconds
    assert column.cast(pa.int64()).to_pylist() == [value and value * scale for value in values]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pa.array([2**62], pa.int64()).cast(pa.timestamp("s")), "timestamp.*4611686018427387904"),
        (pa.array([43_200_000], pa.int64()).cast(pa.date64()), "column 'at'.*date64.*43200000"),
        (pa.array([2_932_897], pa.int32()).cast(pa.date32()), "column 'at' has the date 10000-01-01"),
    ],
)
def test_a_time_of_a_function_that_cannot_be_stored_is_refused(kept: Path, given: pa.Array, words: str) -> None:
    with pytest.raises(DataError, match=words):
        ingest(FunctionSource(lambda: [pa.table({"at": given})]), kept)


@pytest.mark.parametrize("dtype", ["M8[s]", "M8[ms]", "M8[us]", object])
def test_a_frame_of_a_function_keeps_its_instants(kept: Path, dtype: Any) -> None:
    instants = np.array([_FIRST, _LAST.replace(microsecond=0)], dtype=dtype)
    table = ingest(FunctionSource(lambda: [pd.DataFrame({"at": instants})]), kept)
    assert table["at"].to_pylist() == [_FIRST, _LAST.replace(microsecond=0)]


def test_tables_of_a_function_with_different_units_are_cast_or_refused(kept: Path) -> None:
    first, second = (pa.table({"at": pa.array([value], kind)}) for value, kind in _UNITS)
    with pytest.raises(DataError, match=r"table 2 .*out of bounds"):
        ingest(FunctionSource(lambda: [first, second]), kept)


_UNITS = ((0, pa.timestamp("us")), (2**55, pa.timestamp("s")))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"9999-12-31 23:59:59", "timestamp[s]"),
        (b"9999-12-31 23:59:59.5", "timestamp[us]"),
        (b"0001-01-01T00:00:00.000001Z", "timestamp[us, tz=UTC]"),
        (b"9999-12-31", "date32"),
    ],
)
def test_text_of_the_whole_calendar_is_parsed(here: Path, kept: Path, text: bytes, kind: str) -> None:
    source = DelimitedFiles(write(here / "a.csv", b"at\n" + text + b"\n"), types={"at": kind})
    (found,) = ingest(source, kept)["at"].cast(pa.string()).to_pylist()
    assert found.replace(" ", "T").startswith(text.decode().replace(" ", "T").rstrip("Z"))


@pytest.mark.parametrize("text", [b"9999-12-31 23:59:59", b"1600-01-01 00:00:00"])
def test_text_beyond_its_declared_unit_is_named_with_one_that_fits(here: Path, kept: Path, text: bytes) -> None:
    source = DelimitedFiles(write(here / "a.csv", b"at\n2013-01-01\n" + text + b"\n"), types={"at": "timestamp[ns]"})
    source.fetch(kept, None)
    opened = source.open(kept, 10)
    assert [table.num_rows for table, _ in opened.batches] == [1]
    ((unfit,),) = [unread.unfit for unread in opened.unread]
    assert (unfit.rows.tolist(), unfit.values) == ([3], [text.decode()])
    assert problem(unfit.values[0], unfit.kind).endswith("of nanoseconds; declare timestamp[us]")
