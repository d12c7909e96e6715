"""Text files, plain or compressed, cut into chunks of whole rows."""

import re
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from zipfile import BadZipFile, ZipFile, ZipInfo

import pyarrow as pa

from athanor.data.sources.files import is_hidden, list_files, name_of
from athanor.errors import DataError

_READ_BYTES: Final = 256 << 10
_CHUNK_BYTES: Final = 4 << 20
_LONGEST_ROW_BYTES: Final = 64 << 20
_LONGEST_HEAD_BYTES: Final = 1 << 20
_MARK: Final = "\ufeff".encode()
_COMPRESSIONS: Final = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}

Blocks: TypeAlias = Generator[tuple[bytes, int]]


@dataclass(frozen=True)
class Text:
    """One text: a file, or a member of an archive.

    Attributes:
        size: bytes of text; for a compressed file, whose uncompressed length is unknown, bytes of the file.
        blocks: opens the text and yields its bytes, each block with its share of `size`.
    """

    name: str
    size: int
    blocks: Callable[[], Blocks]


@dataclass(frozen=True)
class Chunk:
    """Whole rows of one text, each with its line end; the first row is the header if the chunk `is_first`.

    Attributes:
        amount: the chunk's share of the text's size.
        stand_in: the character in place of NUL; "" without a NUL.
    """

    text: Text
    rows: memoryview
    is_first: bool
    has_quotes: bool
    amount: int
    stand_in: str = ""


def find_texts(folder: Path) -> list[Text]:
    """All texts below a folder, sorted by name; members of an archive in the archive's order.

    Raises:
        DataError: an archive cannot be read, or is empty.
    """
    return [text for path in list_files(folder) for text in _find_in_file(path, name_of(path, folder))]


def _find_in_file(path: Path, name: str) -> Iterator[Text]:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        yield from _find_members(path, name)
    elif compression := _COMPRESSIONS.get(suffix):
        yield Text(name, path.stat().st_size, partial(_read_compressed, path, name, compression))
    else:
        yield Text(name, path.stat().st_size, partial(_read_plain, path, name))


def _find_members(path: Path, name: str) -> Iterator[Text]:
    with _readable(name), ZipFile(path) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not is_hidden(PurePosixPath(member.filename))
        ]
    if not members:
        raise DataError(f"{name} is an empty archive")
    for member in members:
        full = f"{name}/{member.filename}"
        yield Text(full, member.file_size, partial(_read_member, path, full, member))


def _read_plain(path: Path, name: str) -> Blocks:
    with _readable(name), path.open("rb", buffering=0) as file:
        while block := file.read(_READ_BYTES):
            yield block, len(block)


def _read_member(path: Path, name: str, member: ZipInfo) -> Blocks:
    # By its entry: several members may have one name.
    with _readable(name), ZipFile(path) as archive, archive.open(member) as file:
        while block := file.read(_READ_BYTES):
            yield block, len(block)


def _read_compressed(path: Path, name: str, compression: str) -> Blocks:
    with _readable(name), pa.OSFile(str(path)) as stored, pa.CompressedInputStream(stored, compression) as file:
        before = 0
        while block := file.read(_READ_BYTES):
            now = stored.tell()
            yield block, now - before
            before = now


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, BadZipFile, RuntimeError, zlib.error, pa.ArrowException) as error:
        raise DataError(f"{name} cannot be read: {error}") from None


def compile_rows(delimiter: str) -> re.Pattern[bytes]:
    """A pattern that matches as many whole rows as possible, by the rules of Arrow's parser.

    A row ends with a line feed, a carriage return or both; a line feed that is cut off its row is a blank line. A quote
    opens a quoted value only at the start of a value, and a doubled quote does not close it; elsewhere a quote is an
    ordinary character.
    """
    inside = rb"[^" + re.escape(delimiter.encode()) + rb"\r\n]"
    quoted = rb"(?<!" + inside + rb')"[^"]*+(?:""[^"]*+)*+"'
    return re.compile(rb'(?:(?:[^"\r\n]++|' + quoted + rb"|(?<=" + inside + rb')")*+(?:\r\n?|\n))*+')


def read_head(text: Text, rows: re.Pattern[bytes]) -> bytes:
    """The first whole rows of a text, up to one that is not blank; the whole text if all are blank.

    Raises:
        DataError: it cannot be read, or the row has no end.
    """
    begin = b""
    blocks = text.blocks()
    with closing(blocks):
        for block, _ in blocks:
            begin = (begin + block).removeprefix(_MARK)
            end, _ = _end_of_rows(begin, rows)
            if begin[:end].strip():
                return begin[:end]
            if len(begin) > _LONGEST_HEAD_BYTES:
                raise _endless_row(text, begin)
    return begin


def cut(text: Text, rows: re.Pattern[bytes]) -> Iterator[Chunk]:
    """The text in chunks whose amounts add up to its size. Adds a missing last line end.

    Raises:
        DataError: it cannot be read, or a row has no end.
    """
    held: list[bytes] = []
    length, wanted, amount, left, is_first = 0, _CHUNK_BYTES, 0, text.size, True
    for block, share in text.blocks():
        held.append(block)
        length, amount = length + len(block), amount + share
        if length < wanted:
            continue
        whole = _join(held, is_first)
        end, has_quotes = _end_of_rows(whole, rows)
        if end:
            yield Chunk(text, memoryview(whole)[:end], is_first, has_quotes, amount)
            left, amount, is_first = left - amount, 0, False
        elif length >= _LONGEST_ROW_BYTES:
            raise _endless_row(text, whole)
        held, length, wanted = [whole[end:]], len(whole) - end, _CHUNK_BYTES if end else 2 * length
    whole = _join(held, is_first)
    if whole and not whole.endswith((b"\n", b"\r")):
        whole += b"\n"
    end, has_quotes = _end_of_rows(whole, rows)
    if end < len(whole):
        raise _endless_row(text, whole[end:])
    if whole or left:
        yield Chunk(text, memoryview(whole), is_first, has_quotes, left)


def _join(held: list[bytes], is_first: bool) -> bytes:
    """One text. A byte-order mark is dropped from the beginning, where it would hide that a quote follows.

    Elsewhere a mark is text. Arrow drops one that begins a chunk, unless a blank line precedes it.
    """
    whole = b"".join(held)
    if is_first:
        return whole.removeprefix(_MARK)
    return b"\n" + whole if whole.startswith(_MARK) else whole


def _end_of_rows(text: bytes, rows: re.Pattern[bytes]) -> tuple[int, bool]:
    """Where the last whole row ends, and whether there are quotes; without quotes it is the last line end."""
    if b'"' not in text:
        return (text.rfind(b"\n") + 1 or text.rfind(b"\r") + 1), False
    found = rows.match(text)
    return found.end() if found else 0, True


def _endless_row(text: Text, begin: bytes) -> DataError:
    shown = begin[:80].decode(errors="replace")
    return DataError(
        f"{text.name}: a row has no end; it begins {shown!r}. Check for a quote that is opened there and never closed"
    )
