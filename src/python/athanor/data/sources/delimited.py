"""Delimited text as Arrow tables: streamed, parsed in parallel, one type per column throughout."""

import csv
import io
import re
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from athanor.contract.shown import shown
from athanor.data.sources.batches import Batches, read_ahead, rebatch
from athanor.data.sources.columns.types import (
    as_untyped,
    cast,
    cast_columns,
    count_typed,
    problem,
    read_types,
    require_types,
)
from athanor.data.sources.files import Location, copy_files
from athanor.data.sources.folders.hive import Constants, add_constants, read_partitions
from athanor.data.sources.nul_bytes import replace_nul, restore_nul
from athanor.data.sources.parquet import require_single
from athanor.data.sources.source import Opened, Unfit, UnreadRows
from athanor.data.sources.text import Chunk, Text, compile_rows, cut, find_texts, read_head
from athanor.errors import DataError, SettingsError

_INFERRED_BYTES: Final = 64 << 20
_SAMPLED_ROWS: Final = 1_000
_MOST_OTHERS: Final = 9
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

    Folders named `year=2012` hold a column `year`, the last of the table, whose type is inferred or declared as others.

    A blank line is no row. A line ends with a line feed, a carriage return or both.

    A column has one type throughout. An undeclared type is inferred from the first 64 MiB; a later value that only a
    wider type can hold raises DataError and never changes the type. A row with a value that is not of its column's type
    is in no batch: it is rejected, named and counted, as one that breaks the contract is. An undeclared column that
    mixes numbers or times with other texts is text; where the contract wants a number or a time, the texts that are
    none are rejected. A quoted value may contain line breaks.

    Attributes:
        path: a path, a glob, a folder or a URL that fsspec supports, or a function that returns one and is called when
            files are fetched.
        delimiter: one ASCII character.
        columns: names of the columns to read; all when empty. Fewer columns parse faster.
        null_values: texts that mean a missing value, in every column outside of `verbatim`.
        verbatim: columns of text that are kept as written: only an empty value is missing, "NA" may be Namibia, and
            leading zeros stay.
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

    path: Location = field(repr=False)
    delimiter: str = ","
    columns: tuple[str, ...] = ()
    null_values: tuple[str, ...] = ("", "NA")
    types: Mapping[str, str] = field(default_factory=dict)
    verbatim: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.delimiter.encode()) != 1 or self.delimiter in '"\r\n':
            raise SettingsError(
                f"delimiter {self.delimiter!r} is not one ASCII character, other than a quote or line end"
            )
        _require_texts(self.null_values)
        require_types({**self.types, **dict.fromkeys(self.verbatim, "string")}, self.columns)
        if wrong := [name for name in self.verbatim if self.types.get(name, "string") != "string"]:
            raise SettingsError(f"verbatim names {wrong}, which types declares otherwise; such a column is text")

    @property
    def is_incremental(self) -> bool:
        return False

    def fetch(self, folder: Path, since: datetime | None) -> None:
        copy_files(self.path, folder)

    def open(self, folder: Path, batch_rows: int) -> Opened:
        types = read_types({**self.types, **dict.fromkeys(self.verbatim, "string")})
        form = Form(self.delimiter, self.columns, self.null_values, types, frozenset(self.verbatim))
        opened = open_texts(folder, form)
        return replace(opened, batches=rebatch(opened.batches, batch_rows))


def _require_texts(null_values: object) -> None:
    # A str is a sequence of str too: refuse it.
    if not isinstance(null_values, tuple | list) or not all(isinstance(value, str) for value in null_values):
        raise SettingsError(f"null_values {null_values!r} is not a tuple of strings such as ('', 'NA')")


@dataclass(frozen=True)
class Form:
    """How the text is written.

    Attributes:
        columns: columns to read; all when empty.
        types: declared types by column; others are inferred.
        verbatim: columns of text of which only an empty value is missing.
    """

    delimiter: str
    columns: tuple[str, ...]
    null_values: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    verbatim: frozenset[str] = frozenset()


def open_texts(folder: Path, form: Form) -> Opened:
    """All texts below a folder, whose size is in bytes, as one stream of tables with one schema.

    Raises:
        DataError: a file cannot be read, or headers differ or lack a requested column; while the stream is consumed, a
            row or a value cannot be parsed.
    """
    texts = find_texts(folder)
    partitions = read_partitions([text.name for text in texts], form.types)
    names = _read_names(texts, form, partitions[0])
    parser = _Parser(form, names, {text.name: partition for text, partition in zip(texts, partitions, strict=True)})
    return Opened(sum(text.size for text in texts), read_ahead(_read(texts, form, parser)), parser.unread)


def _read_names(texts: Sequence[Text], form: Form, partition: Container[str]) -> tuple[str, ...]:
    """The header that all texts share.

    Args:
        partition: columns in the names of folders.
    """
    rows = compile_rows(form.delimiter)
    first, *others = ((text, _parse_header(text.name, read_head(text, rows), form.delimiter)) for text in texts)
    for text, names in others:
        if names != first[1]:
            raise DataError(f"{text.name} has columns {list(names)}, {first[0].name} has {list(first[1])}")
    for said, wanted in (("columns names", form.columns), ("types declares", form.types)):
        if absent := [name for name in wanted if name not in first[1] and name not in partition]:
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


@dataclass(frozen=True)
class _Head:
    """The rows of a chunk from which types are inferred, and the number of the first of them in its file."""

    table: pa.Table
    amount: int
    file: str
    first_row: int


def _read(texts: Sequence[Text], form: Form, parser: "_Parser") -> Batches:
    """Uses declared types and infers others from the first chunks; rereads those only when their types disagree."""
    chunks = read_ahead(_cut_all(texts, form))
    head: list[_Head] = []
    length = 0
    for chunk in chunks:
        first_row = parser.first_row(chunk)
        head.append(_Head(parser.parse(chunk, form.types), chunk.amount, chunk.text.name, first_row))
        length += len(chunk.rows)
        if length >= _INFERRED_BYTES:
            break
    types = {name: _common_type({part.table.schema.field(name).type for part in head}) for name in parser.columns}
    untyped = [name for name, kind in types.items() if kind == pa.string() and name not in form.types]
    schema = pa.schema(types)
    for name in untyped:
        schema = schema.set(schema.get_field_index(name), _mark_untyped(schema.field(name), head))
    if all(field.type in (pa.null(), types[field.name]) for part in head for field in part.table.schema):
        yield from ((part.table.cast(schema), part.amount) for part in head)
    else:
        chunks = read_ahead(_cut_all(texts, form))
        parser.unread.clear()
    head.clear()
    for chunk in chunks:
        yield parser.parse(chunk, types).cast(schema), chunk.amount


def _mark_untyped(field: pa.Field, head: Sequence[_Head]) -> pa.Field:
    """Marks a column of text as untyped if at least a tenth of its first texts are numbers, times or truth values."""
    typed = others = 0
    example = "values of several kinds"
    for part in head:
        column = part.table[field.name]
        if column.type != pa.string():
            typed += len(column) - column.null_count
            continue
        right, wrong, row = count_typed(column.slice(0, _SAMPLED_ROWS))
        if not typed and wrong > _MOST_OTHERS * right:
            return field
        right, wrong, row = count_typed(column)
        if wrong and not others:
            example = f"{shown(column[row].as_py())} in {part.file}, row {part.first_row + row:,}"
        typed, others = typed + right, others + wrong
    return as_untyped(field, example) if typed and others <= _MOST_OTHERS * typed else field


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


def _wider_types(kind: pa.DataType) -> Sequence[pa.DataType]:
    """Types that can represent more than an inferred type does."""
    if pa.types.is_null(kind):
        return (pa.string(),)
    # Nanoseconds cover only the years 1677 to 2262.
    microseconds = [pa.timestamp("us", tz=kind.tz)] if pa.types.is_timestamp(kind) else []
    ladder: Sequence[pa.DataType] = next((ladder for ladder in _LADDERS if kind in ladder), (kind,))
    return [*ladder[ladder.index(kind) + 1 :], *microseconds]


class _Parser:
    """Parses chunks in order, and counts the rows before each for messages.

    Attributes:
        columns: to read.
        unread: rows with a value that its column's type cannot hold; in no table.
    """

    def __init__(self, form: Form, names: Sequence[str], partitions: Mapping[str, Constants]) -> None:
        self._form = form
        self._names = list(names)
        self._partitions = partitions
        in_folders = next(iter(partitions.values()))
        self.columns = list(form.columns or dict.fromkeys([*names, *in_folders]))
        # Arrow would read all columns instead of none.
        self._stored = [name for name in self.columns if name in names] or self._names[:1]
        self.unread: deque[UnreadRows] = deque()
        self._rows_before = 0

    def first_row(self, chunk: Chunk) -> int:
        """The number in its file of the first row of the next chunk; the header is row 1."""
        return 2 if chunk.is_first else self._rows_before + 1

    def parse(self, chunk: Chunk, types: Mapping[str, pa.DataType]) -> pa.Table:
        """A table of the chunk's rows; infers the type of a column that `types` does not name.

        Raises:
            DataError: a row has more or fewer values than the header, or a value is not of its column's type.
        """
        types = {name: kind for name, kind in types.items() if name in self._stored}
        if chunk.rows:
            table = self._parse_rows(chunk, types)
        else:
            table = pa.schema([(name, types.get(name, pa.null())) for name in self._stored]).empty_table()
        return add_constants(table, self._partitions[chunk.text.name], chunk.text.name).select(self.columns)

    def _parse_rows(self, chunk: Chunk, types: Mapping[str, pa.DataType]) -> pa.Table:
        try:
            table = self._convert(chunk, types, pyarrow.csv.ReadOptions(block_size=_block_bytes(chunk)))
            rows = table.num_rows
        except pa.ArrowInvalid:
            table, rows = self._parse_whole(chunk, types)
        self._require_utf8(chunk, table)
        self._rows_before = self.first_row(chunk) - 1 + rows
        return table

    def _parse_whole(self, chunk: Chunk, types: Mapping[str, pa.DataType]) -> tuple[pa.Table, int]:
        """A table of the rows whose values are of their column's type, and the number of all rows."""
        # A row may be longer than a block, and only the single-threaded reader reports row numbers.
        whole = pyarrow.csv.ReadOptions(block_size=len(chunk.rows) + 1, use_threads=False)
        try:
            table = self._convert(chunk, types, whole)
            return table, table.num_rows
        except pa.ArrowInvalid as error:
            words = str(error).replace(chunk.stand_in, r"\0") if chunk.stand_in else str(error)
        texts = {name: kind if pa.types.is_binary(kind) else pa.string() for name, kind in types.items()}
        try:
            table = self._convert(chunk, texts, whole)
        except pa.ArrowInvalid:
            raise self._explain(chunk, words) from None
        kept, unfit = cast_columns(table, types, self.first_row(chunk))
        for found in unfit:
            self._require_inferred(chunk, found)
        if unfit:
            self.unread.append(UnreadRows(chunk.text.name, unfit))
        return kept, table.num_rows

    def _require_inferred(self, chunk: Chunk, unfit: Unfit) -> None:
        """Raises DataError if a value is fine, but not of the type that was inferred from the rows before."""
        if unfit.column in self._form.types:
            return
        for wider in _wider_types(unfit.kind):
            _, wrong = cast(pa.chunked_array([pa.array(unfit.values, pa.string())]), wider)
            for position in sorted(set(range(len(unfit.values))).difference(wrong.tolist()))[:1]:
                raise DataError(
                    f"{chunk.text.name}, row {unfit.rows[position]:,} (the header is row 1): column {unfit.column!r}: "
                    f"{problem(unfit.values[position], unfit.kind)}; its type {unfit.kind} was inferred from the rows "
                    f"before. Declare a type that fits every value: types={{{unfit.column!r}: {str(wider)!r}}}"
                )

    def _convert(self, chunk: Chunk, types: Mapping[str, pa.DataType], reading: pyarrow.csv.ReadOptions) -> pa.Table:
        if not chunk.is_first:
            reading.column_names = self._names
        table = pyarrow.csv.read_csv(
            pa.BufferReader(_copy(chunk.rows)),
            read_options=reading,
            parse_options=pyarrow.csv.ParseOptions(delimiter=self._form.delimiter, newlines_in_values=chunk.has_quotes),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=self._stored,
                null_values=list(self._form.null_values),
                strings_can_be_null=not self._form.verbatim,
                column_types=dict(types),
            ),
        )
        return restore_nul(self._drop_nulls(table), chunk.stand_in)

    def _drop_nulls(self, table: pa.Table) -> pa.Table:
        """The table with nulls for the texts that mean one. Arrow knows them only for all columns or none."""
        if not self._form.verbatim:
            return table
        for position, column in enumerate(table.schema):
            if column.type == pa.string():
                nulls = pa.array([""] if column.name in self._form.verbatim else self._form.null_values, pa.string())
                texts = table.column(position)
                kept = pc.if_else(pc.is_in(texts, nulls), pa.scalar(None, pa.string()), texts)
                table = table.set_column(position, column, kept)
        return table

    def _require_utf8(self, chunk: Chunk, table: pa.Table) -> None:
        for column in table.schema:
            if column.type == pa.binary() and column.name not in self._form.types:
                raise DataError(f"{chunk.text.name}: column {column.name!r} is not UTF-8; convert the file")

    def _explain(self, chunk: Chunk, words: str) -> DataError:
        numbered = re.search(r"Row #(\d+): ", words)
        where = chunk.text.name
        if numbered:
            words = words.replace(numbered[0], "")
            row = self.first_row(chunk) - chunk.is_first - 1 + int(numbered[1])
            where += f", row {row:,} (the header is row 1)"
        return DataError(f"{where}: {words}")


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
