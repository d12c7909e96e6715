"""Text is read in chunks that cut no row, however large it is and wherever its quotes are."""

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import commands
from support.properties import PROPERTY
from support.sources import ingest, take, write, write_zip

from athanor.data.sources.delimited import DelimitedFiles, Form, open_texts
from athanor.errors import DataError

_ALPHABET = st.text(st.sampled_from(list('ab",\n')), max_size=6)
_PIECES = ("a,", "b\n", "c", ",", "\n", '"', '"",', '"d\n",', '"e""f"\n', '5" g,', '"h" "i"\n')


def _read_in_small_chunks(text: bytes, folder: Path, chunk_bytes: int, columns: Sequence[str]) -> pa.Table:
    path = write(folder / "a.csv", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("athanor.data.sources.text._READ_BYTES", 3)
        patch.setattr("athanor.data.sources.text._CHUNK_BYTES", chunk_bytes)
        opened = open_texts(path.parent, Form(",", (), ("",), dict.fromkeys(columns, pa.string())))
        return take(opened)


@PROPERTY
@given(st.lists(st.tuples(_ALPHABET, _ALPHABET, _ALPHABET), max_size=12), st.integers(1, 40), st.booleans())
def test_no_value_is_cut_however_the_text_is(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], chunk_bytes: int, quotes_all: bool
) -> None:
    """What the standard library writes comes back, with quotes, delimiters and line ends in values."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if quotes_all else csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerows([("x", "y", "z"), *rows])
    folder = tmp_path_factory.mktemp("chunks")
    table = _read_in_small_chunks(text.getvalue().encode(), folder, chunk_bytes, ("x", "y", "z"))
    assert [tuple(value or "" for value in row.values()) for row in table.to_pylist()] == rows


@PROPERTY
@given(st.lists(st.sampled_from(_PIECES), max_size=20).map("".join), st.integers(1, 20))
def test_chunks_end_where_the_parser_sees_a_row_end(
    tmp_path_factory: pytest.TempPathFactory, body: str, chunk_bytes: int
) -> None:
    """Quotes at any place, right or wrong: what is read in chunks is what Arrow reads at once.

    But for a quote that is never closed, after which Arrow takes all the rest of a text for one value.
    """
    text = b"x,y\n" + body.encode() + b"\n"
    expected = None if _is_quote_left_open(text) else _read_at_once(text)
    try:
        found = _read_in_small_chunks(text, tmp_path_factory.mktemp("chunks"), chunk_bytes, ("x", "y")).to_pylist()
    except DataError:
        found = None
    assert found == expected


def _read_at_once(text: bytes) -> list[dict[str, str | None]] | None:
    types = {"x": pa.string(), "y": pa.string()}
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
        )
    except pa.ArrowInvalid:
        return None
    return list(table.to_pylist())


def _is_quote_left_open(text: bytes) -> bool:
    """Character by character: a quote opens where a value begins, and closes where another does not follow."""
    is_open, is_beginning, index = False, True, 0
    while index < len(text):
        character = text[index : index + 1]
        if is_open and text[index : index + 2] == b'""':
            index += 1
        elif character == b'"' and (is_open or is_beginning):
            is_open = not is_open
        is_beginning = not is_open and character in (b",", b"\n")
        index += 1
    return is_open


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text larger than the part that types are inferred from: 90 MB, with quotes in one column."""
    count = 1_500_000
    numbers = np.arange(count)
    table = pa.table(
        {
            "id": numbers,
            "mass": numbers / 7,
            "name": pa.array(["plain", 'say "so"', "two\nlines", None]).take(numbers % 4),
            "at": pa.array(numbers * 1_000_000, pa.timestamp("us")),
        }
    )
    path = tmp_path_factory.mktemp("large") / "large.csv"
    pyarrow.csv.write_csv(table, path)
    assert path.stat().st_size > 80_000_000
    return path


def test_a_large_text_is_streamed_as_it_would_be_read_at_once(large: Path) -> None:
    opened = DelimitedFiles(large).open(large.parent, 100_000)
    assert opened.size == large.stat().st_size
    batches = list(opened.batches)
    assert {table.num_rows for table, _ in batches} == {100_000}
    assert sum(amount for _, amount in batches) == opened.size
    # Of the order of each batch's share, so that a bar of progress moves evenly.
    assert max(amount for _, amount in batches) < 0.2 * opened.size
    found = pa.concat_tables([table for table, _ in batches]).to_pandas()
    pd.testing.assert_frame_equal(found, pd.read_csv(large, parse_dates=["at"]), check_dtype=False)


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (
            b"7.5,1,1,",
            r"column 'a': '7\.5' is not a whole number such as 17; its type int64 was inferred from the rows",
        ),
        (b"7,1,1,2", r"column 'd': '2' is not null; its type null was inferred from the rows before"),
        (b"7,1,1", "Expected 4 columns, got 3"),
    ],
)
def test_a_late_value_that_does_not_fit_is_named_with_its_row(here: Path, kept: Path, late: bytes, words: str) -> None:
    row = b"1,2.5,some text that makes a row longer than its numbers are and longer again,\n"
    count = 1_000_000
    path = write(here / "a.csv", b"a,b,c,d\n" + row * count + late + b"\n" + row)
    with pytest.raises(DataError, match=f"(?s)a\\.csv, row 1,000,002 .*({words})"):
        ingest(DelimitedFiles(path), kept, batch_rows=100_000)


def test_a_late_value_fits_a_type_that_is_declared(here: Path, kept: Path) -> None:
    row = b"1,some text that makes a row longer than its number is and longer again and again\n"
    path = write(here / "a.csv", b"a,b\n" + row * 900_000 + b"1.5,\n")
    table = ingest(DelimitedFiles(path, types={"a": "float64"}), kept, batch_rows=100_000)
    assert table["a"][-1].as_py() == 1.5
    assert table["b"].null_count == 1


def test_a_row_may_be_longer_than_a_block(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", b"id,text\n" + b"1," + b"x" * 6_000_000 + b"\n2,y\n" * 3)
    assert [len(text) for text in ingest(DelimitedFiles(path), kept)["text"].to_pylist()] == [6_000_000, 1, 1, 1]


def test_a_row_without_end_is_refused_before_memory_is_full(here: Path, kept: Path) -> None:
    path = write(here / "a.csv", b'id\n"' + b"x" * 80_000_000)
    with pytest.raises(DataError, match="a row has no end; it begins"):
        ingest(DelimitedFiles(path), kept)


_STREAM = """
import sys
from pathlib import Path
from athanor.data.sources.delimited import DelimitedFiles
from support.memory import peak_kib
batches = DelimitedFiles("").open(Path(sys.argv[1]), 50_000).batches
before = peak_kib()
count = 0
for table, _ in batches:
    count += table.num_rows
    if count >= int(sys.argv[2]):
        break
print(count, (peak_kib() - before) // 1024)
"""


def _stream_elsewhere(folder: Path, rows: int) -> tuple[int, int]:
    """Streams at least so many rows in another process, which then ends at once; rows and growth in MiB."""
    command = [sys.executable, "-c", _STREAM, str(folder), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, env=commands.environment(), check=False)
    assert done.returncode == 0, done.stderr
    count, growth = done.stdout.split()
    return int(count), int(growth)


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four members of 90 MB of text each."""
    folder = tmp_path_factory.mktemp("zipped")
    text = b"id,mass,name\n" + b"1234567,2.25,a name of some length\n" * 2_600_000
    write_zip(folder / "a.zip", {f"{number}.csv": text for number in range(4)})
    return folder


def test_few_batches_of_a_large_text_are_in_memory_at_once(zipped: Path) -> None:
    """All of it would be 360 MB of text and 500 MB of columns."""
    count, growth_mib = _stream_elsewhere(zipped, 99_999_999)
    assert count == 4 * 2_600_000
    assert growth_mib < 350


def test_a_process_that_abandons_a_stream_exits_normally(zipped: Path) -> None:
    """Readers in threads must not outlive the interpreter: Arrow's of Python files abort the process then."""
    assert _stream_elsewhere(zipped, 1)[0] == 50_000
