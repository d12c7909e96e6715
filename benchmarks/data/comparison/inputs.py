"""The files that the driver prepares for all contenders, and the results that it expects."""

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

# Rules that a row can break, by the names that all contenders use.
REQUIRED: Final = "REQUIRED"
RANGE: Final = "RANGE"
WHOLE: Final = "WHOLE"
CATEGORY: Final = "CATEGORY"
PATTERN: Final = "PATTERN"
UNIQUE: Final = "UNIQUE"


def breach(column: str, rule: str) -> str:
    return f"{column} {rule}".strip()
