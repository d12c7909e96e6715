"""Great Expectations: an ephemeral context, one pandas data source, and all expectations in one suite.

Suites and batches are made before the clock starts, progress bars and analytics are off, and text
is categorical, with which it is fastest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig

from data.comparison import inputs
from data.comparison.measure import Answer, Clock, contend
from data.comparison.rules import Rules, read_rules

_RULE_OF_TYPE: Final = {
    "expect_column_values_to_not_be_null": inputs.REQUIRED,
    "expect_column_values_to_be_between": inputs.RANGE,
    "expect_column_values_to_be_in_set": inputs.CATEGORY,
    "expect_column_values_to_match_regex": inputs.PATTERN,
    "expect_compound_columns_to_be_unique": inputs.UNIQUE,
}
_DECILES: Final = np.arange(1, 10) / 10
_SMALLEST_SHARE: Final = 1e-4


class _Batches:
    """Hands frames to Great Expectations."""

    def __init__(self) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
        self._definition = asset.add_batch_definition_whole_dataframe("whole")

    def of(self, frame: pd.DataFrame) -> Any:
        return self._definition.get_batch({"dataframe": frame})


def _read(path: Path, rules: Rules) -> pd.DataFrame:
    # The copy lays columns of one type side by side again, without which every expectation does it.
    return pd.read_parquet(path).astype(dict.fromkeys(rules.names("text"), "category")).copy()


def _suite(name: str, expectations: Iterator[Any]) -> Any:
    return gx.ExpectationSuite(name=name, expectations=list(expectations))


def _expect_rules(rules: Rules) -> Iterator[Any]:
    """Whole numbers are left out: of a column of floats, no expectation says so."""
    for column in rules.columns:
        share = 1 - column.missing_budget if column.may_be_missing else 1.0
        yield gxe.ExpectColumnValuesToNotBeNull(column=column.name, mostly=share)
        if column.categories:
            yield gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=column.categories)
        if column.pattern:
            yield gxe.ExpectColumnValuesToMatchRegex(column=column.name, regex=rf"^(?:{column.pattern})\Z")
        if column.has_range:
            yield gxe.ExpectColumnValuesToBeBetween(
                column=column.name, min_value=column.minimum, max_value=column.maximum
            )
    yield gxe.ExpectCompoundColumnsToBeUnique(column_list=rules.key)


def _validation_of(name: str) -> Any:
    def task(folder: Path, _: Path, clock: Clock) -> Answer:
        rules = read_rules(folder / inputs.RULES)
        frame = _read(folder / name, rules)
        batch, suite = _Batches().of(frame), _suite("rules", _expect_rules(rules))
        failed: list[Any] = []
        for _round in clock.rounds():
            validated = batch.validate(suite, result_format="SUMMARY")
            failed = [one for one in validated.results if not one.success]
        return Answer(len(frame), dict(map(_count, failed)))

    return task


def _count(failed: Any) -> tuple[str, float]:
    config = failed.expectation_config
    if not failed.result:
        raise RuntimeError(f"{config.type} did not run: {failed.exception_info}")
    name = inputs.breach(config.kwargs.get("column", ""), _RULE_OF_TYPE[config.type])
    return name, failed.result["unexpected_count"]


def _expect_profile(rules: Rules) -> Iterator[Any]:
    """Expectations of a profile; the bounds are out of reach, so that each expectation returns its observation."""
    for column in rules.columns:
        name = column.name
        yield gxe.ExpectColumnProportionOfNonNullValuesToBeBetween(column=name, min_value=0, max_value=1)
        yield gxe.ExpectColumnUniqueValueCountToBeBetween(column=name, min_value=0)
        if column.is_numeric:
            yield gxe.ExpectColumnMinToBeBetween(column=name, max_value=1e300)
            yield gxe.ExpectColumnMaxToBeBetween(column=name, max_value=1e300)
            yield gxe.ExpectColumnMeanToBeBetween(column=name, max_value=1e300)
            yield gxe.ExpectColumnStdevToBeBetween(column=name, max_value=1e300)
            yield gxe.ExpectColumnQuantileValuesToBeBetween(
                column=name,
                quantile_ranges={
                    "quantiles": _DECILES.tolist(),
                    "value_ranges": [[None, 1e300] for _ in _DECILES],
                },
            )


def _expect_no_drift(rules: Rules, reference: pd.DataFrame) -> Iterator[Any]:
    """The Kullback-Leibler divergence from the reference, over its deciles or categories."""
    for name in rules.names("number", "integer"):
        values = reference[name].dropna().to_numpy(dtype=np.float64)
        edges = np.unique(np.quantile(values, [0.0, *_DECILES, 1.0]))
        shares = np.histogram(values, edges)[0] / len(values)
        yield _expect_close(name, {"bins": edges.tolist(), "weights": shares.tolist()})
    for name in rules.names("text", "boolean"):
        counts = reference[name].value_counts(normalize=True)
        yield _expect_close(name, {"values": counts.index.tolist(), "weights": counts.tolist()})


def _expect_close(name: str, partition: Any) -> Any:
    return gxe.ExpectColumnKLDivergenceToBeLessThan(
        column=name,
        partition_object=partition,
        threshold=0.1,
        tail_weight_holdout=_SMALLEST_SHARE,
        internal_weight_holdout=_SMALLEST_SHARE if "bins" in partition else 0,
    )


def _profile(folder: Path, _: Path, clock: Clock) -> Answer:
    rules = read_rules(folder / inputs.RULES)
    reference, current = (_read(folder / name, rules) for name in (inputs.REFERENCE, inputs.CURRENT))
    batches = _Batches()
    batch_of_reference, batch_of_current = batches.of(reference), batches.of(current)
    results: dict[str, Any] = {}
    for _round in clock.rounds():
        suite = _suite("profile", _expect_profile(rules))
        results["reference"] = batch_of_reference.validate(suite, result_format="SUMMARY").results
        results["current"] = batch_of_current.validate(suite, result_format="SUMMARY").results
        suite = _suite("drift", _expect_no_drift(rules, reference))
        results["drift"] = batch_of_current.validate(suite, result_format="SUMMARY").results
    found = {f"{name} kl": value for name, value in _observed(results["drift"], "kl_divergence")}
    for half in ("reference", "current"):
        found.update({f"{name} mean of {half}": value for name, value in _observed(results[half], "column_mean")})
    return Answer(len(reference) + len(current), found)


def _observed(results: Any, kind: str) -> Iterator[tuple[str, float]]:
    """Observations of one kind of expectation by column. Raises if any failed to run."""
    for one in results:
        config = one.expectation_config
        if not one.result:
            raise RuntimeError(f"{config.type} of {config.kwargs} did not run: {one.exception_info}")
        if kind in config.type:
            yield config.kwargs["column"], one.result["observed_value"]


if __name__ == "__main__":
    contend(
        {
            "validate": _validation_of(inputs.ROWS),
            "validate-planted": _validation_of(inputs.PLANTED),
            "profile": _profile,
        },
        "great-expectations",
        "pandas",
    )
