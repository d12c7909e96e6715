"""The files that the driver has prepared for all contenders, and what it expects to be found in them."""

from __future__ import annotations

from typing import Final

RULES: Final = "rules.json"
# All rows of the joined flights; they keep every rule.
ROWS: Final = "rows.parquet"
# The same, with broken rows planted among them.
PLANTED: Final = "planted.parquet"
# The first half of the year, and the second.
REFERENCE: Final = "reference.parquet"
CURRENT: Final = "current.parquet"
# Links to the raw tables.
RAW: Final = "raw"
# How many times over the flights are streamed, as text.
TIMES: Final = "times"

# What a row can break, under the one name that all contenders give it.
REQUIRED: Final = "REQUIRED"
RANGE: Final = "RANGE"
WHOLE: Final = "WHOLE"
CATEGORY: Final = "CATEGORY"
PATTERN: Final = "PATTERN"
UNIQUE: Final = "UNIQUE"


def breach(column: str, rule: str) -> str:
    return f"{column} {rule}".strip()
