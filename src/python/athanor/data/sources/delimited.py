"""Delimited text as Arrow tables: streamed, parsed in parallel, one type per column throughout."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv

from athanor.data.sources.batches import Batches, read_ahead, rebatch
from athanor.data.sources.files import Location, copy_files
from athanor.data.sources.nul_bytes import replace_nul, restore_nul
from athanor.data.sources.parquet import require_single
from athanor.data.sources.source import Opened
from athanor.data.sources.text import Chunk, Text, compile_rows, cut, find_texts, read_head
from athanor.errors import DataError, SettingsError

_INFERRED_BYTES: Final = 64 << 20
_BLOCK_BYTES: Final = 1 << 20  # what one thread parses at a time
_LADDERS: Final = (
    (pa.int64(), pa.float64()),
    (pa.date32(), pa.timestamp("s"), pa.timestamp("ns")),
    (pa.timestamp("s", tz="UTC"), pa.timestamp("ns", tz="UTC")),
)


@dataclass(frozen=True)
class DelimitedFiles:
    r"""Delimited text with a header, one row per line: CSV, TSV and the like, in UTF-8, plain or compressed.

    Files are kept unmodified. All of them, and all members of a .zip, form one table in the order of their names, and
    must have the same header. Also reads .gz, .bz2, .zst and .lz4.

    A blank line is no row. A line ends with a line feed, a carriage return or both.

    A column has one type throughout. An undeclared type is inferred from the first 64 MiB; a later value that does not
    parse as that type raises DataError and never changes the type. A quoted value may contain line breaks.

    Attributes:
        path: a path, a glob, a folder or a URL that fsspec supports, or a function that returns one and is called when
            files are fetched.
        delimiter: one ASCII character.
        columns: names of the columns to read; all when empty. Fewer columns parse faster.
        null_values: texts that mean a missing value, in every column.
        types: column types by name, in pyarrow's spelling: "string", "float64", "timestamp[us, tz=UTC]",
            "decimal128(10, 2)".

    Raises:
        SettingsError: the delimiter, the null values or a type is not valid.

    A column of digits may be text: without its type, `007` would be read as 7.

    >>> _ = Path("agents.csv").write_text("code;fee\n007;1.5\n008;NA\n")
    >>> source = DelimitedFiles("agents.csv", delimiter=";", types={"code": "string"})
    >>> source.fetch(Path("raw"), since=None)
    >>> [table.to_pydict() for table, _ in source.open(Path("raw"), batch_rows=1000).batches]
    [{'code': ['007', '008'], 'fee': [1.5, None]}]
    """

    path: Location
    delimiter: str = ","
    columns: tuple[str, ...] = ()
    null_values: tuple[str, ...] = ("", "NA")
    types: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.delimiter.encode()) != 1 or self.delimiter in '"\r\n':
            raise SettingsError(
                f"delimiter {self.delimiter!r} is not one ASCII character, other than a quote or line end"
            )
        _require_texts(self.null_values)
        for name, declared in self.types.items():
            _read_type(name, declared)
        if self.columns and (unread := sorted(set(self.types) - set(self.columns))):
            raise SettingsError(f"types declares {unread}, which columns leaves out; it reads {list(self.columns)}")

    @property
    def is_incremental(self) -> bool:
        return False

    def fetch(self, folder: Path, since: datetime | None) -> None:
        copy_files(self.path, folder)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        types = {name: _read_type(name, declared) for name, declared in self.types.items()}
        size, tables = open_texts(folder, Form(self.delimiter, self.columns, self.null_values, types))
        return Opened(size, rebatch(tables, batch_rows))


def _require_texts(null_values: object) -> None:
    # A str is a sequence of str too: refuse it.
    if not isinstance(null_values, tuple | list) or not all(isinstance(value, str) for value in null_values):
        raise SettingsError(f"null_values {null_values!r} is not a tuple of strings such as ('', 'NA')")


def _read_type(name: str, declared: str) -> pa.DataType:
    if zoned := re.fullmatch(r"timestamp\[(s|ms|us|ns), ?tz=([\w/+:-]+)\]", declared):
        return pa.timestamp(zoned[1], tz=zoned[2])
    if decimal := re.fullmatch(r"decimal128\((\d+), ?(\d+)\)", declared):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    try:
        return pa.type_for_alias(declared)
    except ValueError:
        raise SettingsError(
            f"types[{name!r}] is {declared!r}, which is not a type; use string, bool, int64, float64, date32, "
            "timestamp[us], timestamp[us, tz=UTC] or another of pyarrow's names"
        ) from None


@dataclass(frozen=True)
class Form:
    """How the text is written.

    Attributes:
        columns: columns to read; all when empty.
        types: declared types by column; others are inferred.
    """

    delimiter: str
    columns: tuple[str, ...]
    null_values: tuple[str, ...]
    types: Mapping[str, pa.DataType]


def open_texts(folder: Path, form: Form) -> tuple[int, Batches]:
    """The size in bytes of all texts below a folder, and one stream of tables with one schema.

    Raises:
        DataError: a file cannot be read, or headers differ or lack a requested column; while the stream is consumed, a
            row or a value cannot be parsed.
    """
    texts = find_texts(folder)
    names = _read_names(texts, form)
    return sum(text.size for text in texts), read_ahead(_read(texts, form, names))


def _read_names(texts: Sequence[Text], form: Form) -> tuple[str, ...]:
    """The header that all texts share."""
    rows = compile_rows(form.delimiter)
    first, *others = ((text, _parse_header(text.name, read_head(text, rows), form.delimiter)) for text in texts)
    for text, names in others:
        if names != first[1]:
            raise DataError(f"{text.name} has columns {list(names)}, {first[0].name} has {list(first[1])}")
    for said, wanted in (("columns names", form.columns), ("types declares", form.types)):
        if absent := [name for name in wanted if name not in first[1]]:
            raise DataError(f"{said} {absent}; {first[0].name} has columns {list(first[1])}")
    return first[1]


def _parse_header(text: str, head: bytes, delimiter: str) -> tuple[str, ...]:
    try:
        lines = csv.reader(io.StringIO(head.decode("utf-8-sig"), newline=""), delimiter=delimiter)
        names = next((tuple(line) for line in lines if line), ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{text} is not delimited text in UTF-8: {error}; convert it") from None
    if not names:
        raise DataError(f"{text} is empty; its first row must name the columns")
    if any("\0" in name for name in names):
        raise DataError(f"{text} is not delimited text in UTF-8: NUL bytes in its header, as in UTF-16; convert it")
    require_single(names, text)
    return names


def _read(texts: Sequence[Text], form: Form, names: Sequence[str]) -> Batches:
    """Uses declared types and infers others from the first chunks; rereads those only when their types disagree."""
    chunks = read_ahead(_cut_all(texts, form))
    parser = _Parser(form, names)
    head: list[tuple[pa.Table, int]] = []
    length = 0
    for chunk in chunks:
        head.append((parser.parse(chunk, form.types), chunk.amount))
        length += len(chunk.rows)
        if length >= _INFERRED_BYTES:
            break
    types = {name: _common_type({table.schema.field(name).type for table, _ in head}) for name in form.columns or names}
    if all(field.type in (pa.null(), types[field.name]) for table, _ in head for field in table.schema):
        yield from ((table.cast(pa.schema(types)), amount) for table, amount in head)
    else:
        chunks = read_ahead(_cut_all(texts, form))
    head.clear()
    for chunk in chunks:
        yield parser.parse(chunk, types), chunk.amount


def _cut_all(texts: Sequence[Text], form: Form) -> Iterator[Chunk]:
    rows = compile_rows(form.delimiter)
    avoided = form.delimiter + "".join(form.null_values)
    for text in texts:
        for chunk in cut(text, rows):
            yield replace_nul(chunk, avoided)


def _common_type(types: set[pa.DataType]) -> pa.DataType:
    """The narrowest type that can represent all inferred types, or string."""
    found = types - {pa.null()}
    for ladder in _LADDERS:
        if found <= set(ladder):
            return max(found, key=ladder.index, default=pa.null())
    return found.pop() if len(found) == 1 else pa.string()


class _Parser:
    """Parses chunks in order, and counts the rows before each for error messages."""

    def __init__(self, form: Form, names: Sequence[str]) -> None:
        self._form = form
        self._names = list(names)
        self._read = list(form.columns or names)
        self._rows_before = 0

    def parse(self, chunk: Chunk, types: Mapping[str, pa.DataType]) -> pa.Table:
        """A table of the chunk's rows; infers the type of a column that `types` does not name.

        Raises:
            DataError: a row has more or fewer values than the header, or a value is not of its column's type.
        """
        if chunk.is_first:
            self._rows_before = 0
        if not chunk.rows:
            return pa.schema([(name, types.get(name, pa.null())) for name in self._read]).empty_table()
        try:
            table = self._convert(chunk, types, pyarrow.csv.ReadOptions(block_size=_block_bytes(chunk)))
        except pa.ArrowInvalid:
            # A row may be longer than a block, and only the single-threaded reader reports row numbers.
            whole = pyarrow.csv.ReadOptions(block_size=len(chunk.rows) + 1, use_threads=False)
            try:
                table = self._convert(chunk, types, whole)
            except pa.ArrowInvalid as error:
                words = str(error).replace(chunk.stand_in, r"\0") if chunk.stand_in else str(error)
                raise self._explain(chunk, words) from None
        self._require_utf8(chunk, table)
        table = restore_nul(table, chunk.stand_in)
        self._rows_before += table.num_rows + chunk.is_first
        return table

    def _convert(self, chunk: Chunk, types: Mapping[str, pa.DataType], reading: pyarrow.csv.ReadOptions) -> pa.Table:
        if not chunk.is_first:
            reading.column_names = self._names
        return pyarrow.csv.read_csv(
            pa.BufferReader(_copy(chunk.rows)),
            read_options=reading,
            parse_options=pyarrow.csv.ParseOptions(delimiter=self._form.delimiter, newlines_in_values=chunk.has_quotes),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=self._read,
                null_values=list(self._form.null_values),
                strings_can_be_null=True,
                column_types=dict(types),
            ),
        )

    def _require_utf8(self, chunk: Chunk, table: pa.Table) -> None:
        for column in table.schema:
            if column.type == pa.binary() and column.name not in self._form.types:
                raise DataError(f"{chunk.text.name}: column {column.name!r} is not UTF-8; convert the file")

    def _explain(self, chunk: Chunk, words: str) -> DataError:
        numbered = re.search(r"Row #(\d+): ", words)
        where = chunk.text.name
        if numbered:
            words = words.replace(numbered[0], "")
            where += f", row {self._rows_before + int(numbered[1]):,} (the header is row 1)"
        unfit = re.match(r"In CSV column #(\d+): CSV conversion error to (.+?): (.*)", words, re.DOTALL)
        if unfit is None:
            return DataError(f"{where}: {words}")
        name = self._names[int(unfit[1])]
        why = "is declared" if name in self._form.types else "was inferred from the rows before"
        # Nanoseconds cover only the years 1677 to 2262.
        is_instant = unfit[2].startswith("timestamp[ns") and re.search(r"'\d{4}-\d\d-\d\d", unfit[3])
        fitting = unfit[2].replace("[ns", "[us") if is_instant else "string"
        return DataError(
            f"{where}: column {name!r}: {unfit[3]}; its type {unfit[2]} {why}. "
            f"Declare a type that fits every value, such as types={{{name!r}: {fitting!r}}}"
        )


def _block_bytes(chunk: Chunk) -> int:
    """What one thread parses at a time: Arrow drops a carriage return in quotes at the end of a block but the last."""
    return len(chunk.rows) + 1 if chunk.has_quotes and re.search(b"\r", chunk.rows) else _BLOCK_BYTES


def _copy(rows: memoryview) -> pa.Buffer:
    """The same bytes in memory of Arrow's own.

    Arrow's threads may release a buffer after the reader has returned. Releasing a Python object takes the GIL, which
    aborts the process if the interpreter exits meanwhile.
    """
    buffer = pa.allocate_buffer(len(rows))
    pa.FixedSizeBufferWriter(buffer).write(rows)
    return buffer
