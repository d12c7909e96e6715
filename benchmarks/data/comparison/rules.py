"""The rules of our contract as plain JSON, so that every contender checks the same columns by the same rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class ColumnRules:
    """Rules of one column.

    Attributes:
        kind: number, integer, boolean, text or timestamp.
        minimum, maximum: inclusive; None for no bound.
        categories, pattern: of text, empty for any.
        may_be_missing: whether a single value may be missing.
        missing_budget: largest share of missing values.
    """

    name: str
    kind: str
    minimum: float | None
    maximum: float | None
    categories: list[str]
    pattern: str
    may_be_missing: bool
    missing_budget: float

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "integer")

    @property
    def has_range(self) -> bool:
        return self.minimum is not None and self.maximum is not None


@dataclass(frozen=True)
class Rules:
    """Rules of a table: its columns, and its unique key."""

    columns: list[ColumnRules]
    key: list[str]

    def names(self, *kinds: str) -> list[str]:
        return [column.name for column in self.columns if column.kind in kinds]


def write_rules(path: Path, columns: Sequence[ColumnRules], key: Sequence[str]) -> None:
    path.write_text(json.dumps(asdict(Rules(list(columns), list(key)))))


def read_rules(path: Path) -> Rules:
    loaded = json.loads(path.read_text())
    return Rules([ColumnRules(**column) for column in loaded["columns"]], loaded["key"])
