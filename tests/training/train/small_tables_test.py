"""Small and hard tables, with all but the gates left to defaults: a sound result, or words that say what is missing."""

from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
from support.snapshots import commit_columns
from support.tables import make_model, make_recipe_of, make_table

from athanor.errors import DataError
from athanor.home import Home
from athanor.release.manifest import Identity
from athanor.training.train.train import train


@pytest.fixture(autouse=True)
def _in_this_process() -> Any:
    with joblib.parallel_config(backend="sequential"):
        yield


def _train(home: Home, task: str, count: int, change: Callable[[Any], None] | None = None, **options: Any) -> Identity:
    model = make_model(task, **options)
    columns = make_table(model.contract, count)
    if change:
        change(columns)
    snapshot, _ = commit_columns(model.contract, columns, home.datasets)
    return train(make_recipe_of(model, trials=3, gates=()), snapshot, home).release.identity


@pytest.mark.parametrize("task", ["multiclass", "number", "count"])
@pytest.mark.parametrize("with_time", [True, False])
def test_of_twelve_rows_a_model_is_made(task: str, with_time: bool, home: Home) -> None:
    identity = _train(home, task, 12, with_time=with_time)
    assert identity.split.rows_trained + identity.split.rows_evaluated == 12
    assert all(np.isfinite(value) for value in identity.metrics.values())


def test_of_twelve_rows_that_miss_a_label_in_a_fold_none_is_made_and_the_fold_is_named(home: Home) -> None:
    with pytest.raises(DataError, match=r"fold 1 of 5 validates on 2 rows, on whose labels .* use more rows or fewer"):
        _train(home, "binary", 12, with_time=False)


def test_rare_positives_are_refused_where_a_fold_has_none(home: Home) -> None:
    def change(columns: Any) -> None:
        columns["label"][:] = 0.0
        columns["label"][100::1000] = 1.0

    with pytest.raises(DataError, match="on whose labels average_precision is not defined; use more rows or fewer"):
        _train(home, "binary", 3_000, change, with_time=False)


def test_a_category_that_no_earlier_fold_has_seen_is_trained_and_evaluated(home: Home) -> None:
    def change(columns: Any) -> None:
        columns["label"][columns["label"] == "Gentoo"] = "Adelie"
        columns["label"][-3:] = "Gentoo"

    identity = _train(home, "multiclass", 200, change)
    assert identity.metrics["log_loss"] > 0
    assert 0 < identity.metrics["accuracy"] < 1


@pytest.mark.parametrize("task", ["binary", "count"])
@pytest.mark.parametrize("share", [0.5, 1.0], ids=["begins later", "never has a value"])
def test_a_column_without_a_value_does_no_harm(home: Home, task: str, share: float) -> None:
    def change(columns: Any) -> None:
        columns["count"][: int(share * 200)] = np.nan

    identity = _train(home, task, 200, change)
    assert identity.metrics[next(iter(identity.metrics))] > 0


@pytest.mark.parametrize("with_time", [True, False])
def test_groups_and_weights_go_all_the_way(home: Home, with_time: bool) -> None:
    identity = _train(home, "number", 200, with_time=with_time, with_group=True, with_weight=True)
    assert identity.split.rows_trained + identity.split.rows_evaluated + identity.split.rows_left_out == 200
