"""NUL bytes in delimited text, which Arrow's parser would take for the end of what it searches.

Where values are long, it searches 16 bytes at once for the next delimiter, quote or line end, by an instruction that
stops at NUL. A line end behind it is overlooked, and two rows become one. So another character stands for NUL while the
text is parsed.
"""

import re
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from athanor.data.sources.text import Chunk
from athanor.errors import DataError

# Control characters that are neither white space nor line ends.
_STAND_INS: Final = [chr(code) for code in (*range(1, 9), *range(14, 28))]


def replace_nul(chunk: Chunk, avoided: str) -> Chunk:
    """The same chunk without NUL, if it has any: `stand_in` is the character in its place.

    Args:
        avoided: characters that have a meaning for the parser.

    Raises:
        DataError: the chunk contains every character that could stand for NUL.
    """
    if not re.search(b"\0", chunk.rows):
        return chunk
    rows = bytes(chunk.rows)
    free = (text for text in _STAND_INS if text not in avoided and text.encode() not in rows)
    stand_in = next(free, None)
    if stand_in is None:
        raise DataError(f"{chunk.text.name} has NUL bytes beside every other control character; it is not text")
    return replace(chunk, rows=memoryview(rows.replace(b"\0", stand_in.encode())), stand_in=stand_in)


def restore_nul(table: pa.Table, stand_in: str) -> pa.Table:
    """The table with NUL in its texts again."""
    if not stand_in:
        return table
    for position, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            restored = pc.replace_substring(table.column(position), stand_in, "\0")
            table = table.set_column(position, field, restored)
    return table
