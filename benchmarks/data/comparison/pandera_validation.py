"""pandera: the rules as schemas of its two engines, pandas and polars. Schemas are made before the clock starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pp
import pandera.polars as pl_pandera
import polars as pl
from pandas.api.types import is_object_dtype
from pandera.errors import SchemaErrors

from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend
from data.comparison.rules import ColumnRules, Rules, read_rules

_RULE_OF_CHECK = {
    "in_range": inputs.RANGE,
    "isin": inputs.CATEGORY,
    "str_matches": inputs.PATTERN,
    "not_nullable": inputs.REQUIRED,
    "whole": inputs.WHOLE,
    "multiple_fields_uniqueness": inputs.UNIQUE,
}


def _pandas_schema(rules: Rules, frame: pd.DataFrame) -> Any:
    """Lazy, so that all failures are collected; `report_duplicates` names every row of a repeated key, as others do."""
    columns = {
        column.name: pp.Column(
            frame.dtypes[column.name],
            [*_value_checks(column, pp.Check, is_object_dtype(frame.dtypes[column.name])), *_pandas_checks(column)],
            nullable=column.may_be_missing,
        )
        for column in rules.columns
    }
    return pp.DataFrameSchema(columns, unique=rules.key, report_duplicates="all", strict=True)


def _value_checks(column: ColumnRules, check: Any, is_python: bool) -> list[Any]:
    if column.categories:
        return [check.isin(column.categories)]
    if column.pattern:
        # Python's $ matches before a final line break; the $ of Arrow and polars does not.
        return [check.str_matches(f"^(?:{column.pattern})" + (r"\Z" if is_python else "$"))]
    return [check.in_range(column.minimum, column.maximum)] if column.has_range else []


def _pandas_checks(column: ColumnRules) -> list[Any]:
    checks = []
    if column.kind == "integer" and column.may_be_missing:
        checks.append(pp.Check(lambda values: values == np.floor(values), name="whole"))
    if column.may_be_missing:
        budget = column.missing_budget
        checks.append(pp.Check(lambda values: values.isna().mean() <= budget, name="budget", ignore_na=False))
    return checks


def _polars_schema(rules: Rules, frame: pl.DataFrame) -> Any:
    columns = {
        column.name: pl_pandera.Column(
            frame.schema[column.name],
            [*_value_checks(column, pl_pandera.Check, False), *_polars_checks(column)],
            nullable=column.may_be_missing,
        )
        for column in rules.columns
    }
    return pl_pandera.DataFrameSchema(columns, unique=rules.key, report_duplicates="all", strict=True)


def _polars_checks(column: ColumnRules) -> list[Any]:
    checks = []
    if column.kind == "integer" and column.may_be_missing:
        checks.append(pl_pandera.Check(_is_whole, name="whole"))
    if column.may_be_missing:
        budget = column.missing_budget
        checks.append(
            pl_pandera.Check(
                lambda data: data.lazyframe.select(pl.col(data.key).is_null().mean() <= budget),
                name="budget",
                ignore_na=False,
            )
        )
    return checks


def _is_whole(data: Any) -> pl.LazyFrame:
    values = pl.col(data.key)
    lazy: pl.LazyFrame = data.lazyframe
    return lazy.select(values == values.floor())


def _validate(schema: Any, frame: Any, clock: Clock) -> Answer:
    failures = None
    for _ in clock.rounds():
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as error:
            failures = error.failure_cases
    if isinstance(failures, pl.DataFrame):
        failures = failures.to_pandas()
    return Answer(len(frame), {} if failures is None else _count(failures))


def _count(failures: pd.DataFrame) -> Counter[str]:
    found: Counter[str] = Counter()
    for (column, check), cases in failures.groupby(["column", "check"], dropna=False):
        rule = _RULE_OF_CHECK[str(check).split("(")[0]]
        # A repeated key is listed once for each of its columns.
        name = "" if rule == inputs.UNIQUE else str(column)
        found[inputs.breach(name, rule)] = cases["index"].nunique() if rule == inputs.UNIQUE else len(cases)
    return found


def _on_pandas(name: str, text: str) -> Any:
    """On a frame as pandas reads it, "" for `text`, or with text converted to another type before the clock starts."""

    def task(folder: Path, _: Path, clock: Clock) -> Answer:
        rules = read_rules(folder / inputs.RULES)
        frame = pd.read_parquet(folder / name)
        if text:
            # The copy lays columns of one type side by side again, without which every check does it.
            frame = frame.astype(dict.fromkeys(rules.names("text"), text)).copy()
        return _validate(_pandas_schema(rules, frame), frame, clock)

    return task


def _on_polars(name: str) -> Any:
    def task(folder: Path, _: Path, clock: Clock) -> Answer:
        frame = pl.read_parquet(folder / name)
        return _validate(_polars_schema(read_rules(folder / inputs.RULES), frame), frame, clock)

    return task


if __name__ == "__main__":
    contend(
        {
            "pandas": _on_pandas(inputs.ROWS, ""),
            "pandas-planted": _on_pandas(inputs.PLANTED, ""),
            "arrow": _on_pandas(inputs.ROWS, "string[pyarrow]"),
            "arrow-planted": _on_pandas(inputs.PLANTED, "string[pyarrow]"),
            "categories": _on_pandas(inputs.ROWS, "category"),
            "categories-planted": _on_pandas(inputs.PLANTED, "category"),
            "polars": _on_polars(inputs.ROWS),
            "polars-planted": _on_polars(inputs.PLANTED),
        },
        "pandera",
        "pandas",
        "polars",
        "pyarrow",
    )
