"""Evidently: the statistics of both halves, and the drift from the first to the second.

Datasets and definitions are made before the clock starts. `presets` is what its guide shows; `metrics` asks for single
metrics and so leaves out what presets draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import (
    MaxValue,
    MeanValue,
    MinValue,
    MissingValueCount,
    QuantileValue,
    StdValue,
    UniqueValueCount,
    ValueDrift,
)
from evidently.presets import DataDriftPreset, DataSummaryPreset

from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend
from data.comparison.rules import Rules, read_rules

_NUMBERS = "psi"
_CATEGORIES = "jensenshannon"


def _presets(_: Rules) -> Iterator[Any]:
    yield DataSummaryPreset()
    yield DataDriftPreset(num_method=_NUMBERS, cat_method=_CATEGORIES)


def _metrics(rules: Rules) -> Iterator[Any]:
    for column in rules.columns:
        yield MissingValueCount(column=column.name)
    for name in rules.names("number", "integer"):
        yield from (metric(column=name) for metric in (MinValue, MaxValue, MeanValue, StdValue))
        yield from (QuantileValue(column=name, quantile=quantile) for quantile in (0.25, 0.5, 0.75))
        yield ValueDrift(column=name, method=_NUMBERS)
    for name in rules.names("text", "boolean"):
        yield UniqueValueCount(column=name)
        yield ValueDrift(column=name, method=_CATEGORIES)


def _task(choose: Any) -> Any:
    def task(folder: Path, _: Path, clock: Clock) -> Answer:
        rules = read_rules(folder / inputs.RULES)
        definition = DataDefinition(
            numerical_columns=rules.names("number", "integer"),
            categorical_columns=rules.names("text", "boolean"),
            datetime_columns=rules.names("timestamp"),
        )
        reference, current = (
            Dataset.from_pandas(pd.read_parquet(folder / name), data_definition=definition)
            for name in (inputs.REFERENCE, inputs.CURRENT)
        )
        metrics: Any = None
        for _round in clock.rounds():
            metrics = Report(list(choose(rules))).run(current, reference).dict()["metrics"]
        rows = len(reference.as_dataframe()) + len(current.as_dataframe())
        return Answer(rows, dict(_drifts(metrics)))

    return task


def _drifts(metrics: Any) -> Iterator[tuple[str, float]]:
    """What others measure too. A Jensen-Shannon distance is to base 2 here, where Evidently's is to base e."""
    for metric in metrics:
        config = metric["config"]
        if config["type"].endswith(":ValueDrift"):
            base = math.sqrt(math.log(2)) if config["method"] == _CATEGORIES else 1.0
            yield f"{config['column']} {config['method']}", metric["value"] / base
        if config["type"].endswith(":MeanValue"):
            yield f"{config['column']} mean of current", metric["value"]


if __name__ == "__main__":
    contend({"presets": _task(_presets), "metrics": _task(_metrics)}, "evidently", "pandas", "scipy")
