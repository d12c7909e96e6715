"""Athanor: the same work by the functions that `athanor data build` runs, on the contract of the example project."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from athanor.contract.columns import Column, Columns, Kind
from athanor.contract.messages import is_missing
from athanor.contract.validation import Rule, validate
from athanor.data.building.snapshot_build import build_snapshot
from athanor.data.profiles.drift import DriftReport, Statistic, measure_drift
from athanor.data.profiles.profile import NumberProfile, Profile, profile
from athanor.data.tables.keys import is_among, repeated_keys
from athanor.data.tables.tables import from_frame, to_arrow
from athanor.home import Home
from data.comparison import inputs
from data.comparison.measure import Answer, Clock, Task, contend
from data.comparison.pandas_join import fingerprint
from projects.flight_delay.dataset import DATASET
from projects.flight_delay.model import MODEL

_CONTRACT: Final = MODEL.contract
_NAMES_OF_RULES: Final = {
    Rule.REQUIRED: inputs.REQUIRED,
    Rule.MINIMUM: inputs.RANGE,
    Rule.MAXIMUM: inputs.RANGE,
    Rule.WHOLE: inputs.WHOLE,
    Rule.CATEGORY: inputs.CATEGORY,
    Rule.PATTERN: inputs.PATTERN,
}
_NAMES_OF_STATISTICS: Final = {Statistic.POPULATION_STABILITY: "psi", Statistic.JENSEN_SHANNON: "jensenshannon"}


def _read(path: Path) -> Columns:
    values, mistyped = from_frame(_CONTRACT.dataset_columns, pd.read_parquet(path))
    if mistyped:
        raise ValueError(f"{path.name} holds values of another type than the contract's")
    return values


def _check(values: Columns) -> Counter[str]:
    """All rules that the peers check too: of each value, of the share of missing values, and of the key."""
    found: Counter[str] = Counter()
    for breach in validate(_CONTRACT.dataset_columns, values):
        found[inputs.breach(breach.column.name, _NAMES_OF_RULES[breach.rule])] += len(breach.rows)
    for column in _CONTRACT.dataset_columns:
        if column.may_be_missing and _missing_share(column, values) > column.missing_budget:
            found[f"{column.name} budget"] += 1
    keys = to_arrow(_CONTRACT.key, values)
    if (repeated := repeated_keys(keys)).num_rows:
        found[inputs.UNIQUE] = int(is_among(keys, repeated).sum())
    return found


def _missing_share(column: Column, values: Columns) -> float:
    array = values[column.name]
    return np.count_nonzero(is_missing(column, array)) / len(array)


def _validation_of_frame(name: str) -> Task:
    def task(folder: Path, _: Path, clock: Clock) -> Answer:
        frame = pd.read_parquet(folder / name)
        found: Counter[str] = Counter()
        for _round in clock.rounds():
            values, _mistyped = from_frame(_CONTRACT.dataset_columns, frame)
            found = _check(values)
        return Answer(len(frame), found)

    return task


def _validation_of_columns(name: str) -> Task:
    def task(folder: Path, _: Path, clock: Clock) -> Answer:
        values = _read(folder / name)
        found: Counter[str] = Counter()
        for _round in clock.rounds():
            found = _check(values)
        return Answer(len(values[_CONTRACT.label.name]), found)

    return task


def _profile(folder: Path, _: Path, clock: Clock) -> Answer:
    frames = [pd.read_parquet(folder / name) for name in (inputs.REFERENCE, inputs.CURRENT)]
    found: dict[str, float] = {}
    for _round in clock.rounds():
        columns = [from_frame(_CONTRACT.dataset_columns, frame)[0] for frame in frames]
        reference, current = (profile(_CONTRACT.dataset_columns, values) for values in columns)
        report = measure_drift(_CONTRACT, reference, current)
        found = {**_drifts(report), **_means("reference", reference), **_means("current", current)}
    return Answer(sum(map(len, frames)), found)


def _drifts(report: DriftReport) -> dict[str, float]:
    names = _NAMES_OF_STATISTICS
    return {f"{one.column} {names[one.statistic]}": one.value for one in report.columns if one.statistic in names}


def _means(half: str, profiled: Profile) -> dict[str, float]:
    """Of numbers. Truth values, which have a mean here, are categories to others."""
    numbers = [column.name for column in _CONTRACT.dataset_columns if column.kind in (Kind.NUMBER, Kind.INTEGER)]
    found = {name: profiled.columns[name] for name in numbers}
    return {f"{name} mean of {half}": one.mean for name, one in found.items() if isinstance(one, NumberProfile)}


def _build(_: Path, scratch: Path, clock: Clock) -> Answer:
    """All of `athanor data build`: raw copy, transform, rules, quarantine, checks of the whole, digest, commit."""
    rows, table = 0, scratch
    for number in clock.rounds():
        home = Home(scratch / str(number))
        rows = build_snapshot(_CONTRACT, DATASET, home).snapshot.rows_out
        table = home.datasets / _CONTRACT.name
    return Answer(rows, fingerprint(table))


if __name__ == "__main__":
    contend(
        {
            "validate": _validation_of_frame(inputs.ROWS),
            "validate-planted": _validation_of_frame(inputs.PLANTED),
            "validate-columns": _validation_of_columns(inputs.ROWS),
            "validate-columns-planted": _validation_of_columns(inputs.PLANTED),
            "profile": _profile,
            "build": _build,
        },
        "pandas",
        "pyarrow",
        "deltalake",
    )
