"""Splits: which rows train, which evaluate, and that no group does both."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from support.tables import TASKS, make_model, make_table

from athanor.errors import ContractError
from athanor.tasks.tasks import task_of
from athanor.training.splits import Division, From, Latest, Share, Split

_FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def _divide(split: Split, count: int = 100, task: str = "binary", **options: Any) -> tuple[Division, dict[str, Any]]:
    model = make_model(task, **options)
    columns = make_table(model.contract, count)
    return split.divide(task_of(model.contract), columns), columns


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))])
def test_rows_from_an_instant_on_are_held_out(zone: timezone) -> None:
    found, _ = _divide(From((_FIRST + timedelta(hours=60)).astimezone(zone)))
    assert found.evaluated.tolist() == [False] * 60 + [True] * 40
    assert found.trained.tolist() == (~found.evaluated).tolist()
    assert found.result.model_dump() == {
        "kind": "from",
        "boundary": "2024-01-03T12:00:00.000000Z",
        "seed": None,
        "rows_trained": 60,
        "rows_evaluated": 40,
        "rows_left_out": 0,
    }


@pytest.mark.parametrize(
    ("age", "held_out"), [("1d", 25), ("24h", 25), ("90min", 2), ("1w", 100), (0.25, 25), (0.001, 1)]
)
def test_the_newest_rows_are_held_out_whatever_their_order(age: str | float, held_out: int) -> None:
    model = make_model("number")
    order = np.random.default_rng(1).permutation(100)
    columns = {name: values[order] for name, values in make_table(model.contract, 100).items()}
    found = Latest(age).divide(task_of(model.contract), columns)
    assert found.evaluated.tolist() == (order >= 100 - held_out).tolist()
    assert found.result.kind == "latest"


def test_rows_of_one_instant_stay_together() -> None:
    model = make_model("number")
    columns = make_table(model.contract, 100)
    columns["at"] = np.repeat(columns["at"][::10], 10)
    assert Latest(0.15).divide(task_of(model.contract), columns).result.rows_evaluated == 20


@pytest.mark.parametrize("task", TASKS)
def test_a_random_share_is_held_out_the_same_by_the_same_seed(task: str) -> None:
    (one, _), (same, _), (other, _) = (_divide(Share(0.3, seed=seed), task=task) for seed in (0, 0, 1))
    assert one.evaluated.tolist() == same.evaluated.tolist() != other.evaluated.tolist()
    assert abs(one.evaluated.sum() - 30) <= 2
    assert (one.trained ^ one.evaluated).all()
    assert (one.result.seed, one.result.boundary) == (0, "")


def test_a_random_share_has_the_categories_in_proportion_and_rare_ones_on_both_sides() -> None:
    model = make_model("multiclass")
    columns = make_table(model.contract, 203)
    columns["label"] = np.array(["Adelie"] * 160 + ["Chinstrap"] * 40 + ["Gentoo"] * 3, dtype=object)
    found = Share(0.2).divide(task_of(model.contract), columns)
    evaluated = columns["label"][found.evaluated].tolist()
    assert [evaluated.count(name) for name in ("Adelie", "Chinstrap", "Gentoo")] == [32, 8, 1]


def test_a_category_with_a_single_row_is_trained_on() -> None:
    model = make_model("multiclass")
    columns = make_table(model.contract, 20)
    columns["label"] = np.array(["Adelie"] * 19 + ["Gentoo"], dtype=object)
    assert not Share(0.9).divide(task_of(model.contract), columns).evaluated[-1]


def test_past_rows_of_groups_that_come_again_are_left_out_and_counted() -> None:
    """Customers have four rows each; the boundary is in the middle of one."""
    found, columns = _divide(Latest(0.42), with_group=True)
    assert found.result.model_dump(include={"rows_trained", "rows_evaluated", "rows_left_out"}) == {
        "rows_trained": 56,
        "rows_evaluated": 42,
        "rows_left_out": 2,
    }
    assert not set(columns["customer"][found.trained]) & set(columns["customer"][found.evaluated])


@pytest.mark.parametrize("task", TASKS)
def test_random_groups_are_held_out_whole_with_the_categories_in_proportion(task: str) -> None:
    found, columns = _divide(Share(0.25), count=400, task=task, with_group=True)
    assert not set(columns["customer"][found.trained]) & set(columns["customer"][found.evaluated])
    assert found.result.rows_left_out == 0
    assert abs(found.result.rows_evaluated - 100) <= 12
    if task == "binary":
        assert columns["label"][found.evaluated].mean() == pytest.approx(columns["label"].mean(), abs=0.04)


def test_of_one_group_nothing_is_held_out() -> None:
    model = make_model("binary", with_group=True)
    columns = make_table(model.contract, 20)
    columns["customer"][:] = "one"
    assert Share(0.5).divide(task_of(model.contract), columns).result.rows_evaluated == 0


@pytest.mark.parametrize("split", [Latest("1d"), Latest(0.2), From(_FIRST), Share(0.2)])
@pytest.mark.parametrize("with_group", [True, False])
def test_no_rows_give_empty_parts(split: Split, with_group: bool) -> None:
    found, _ = _divide(split, count=0, with_group=with_group)
    assert (found.result.rows_trained, found.result.rows_evaluated) == (0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Latest("60"),
            r"Latest\('60'\): an age is a whole number and min, h, d or w, such as \"60d\"; a share",
        ),
        (lambda: Latest("0d"), "an age is a whole number"),
        (lambda: Latest("-1d"), "an age is a whole number"),
        (lambda: Latest(0.0), r"Latest\(0.0\): .* a share is a number between 0 and 1"),
        (lambda: Latest(1.0), "between 0 and 1"),
        (lambda: Latest(float("nan")), "between 0 and 1"),
        (lambda: Share(0.0), r"Share\(0\): a share is a number between 0 and 1"),
        (lambda: Share(float("nan")), "between 0 and 1"),
        (lambda: From(datetime(2013, 10, 1)), r"From\(2013-10-01 00:00:00\) has no time zone"),  # noqa: DTZ001
    ],
)
def test_splits_that_mean_nothing_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        make()


@pytest.mark.parametrize("split", [Latest("1d"), From(_FIRST)])
def test_a_split_by_time_needs_event_times(split: Split) -> None:
    contract = make_model("binary", with_time=False).contract
    (problem,) = split.list_problems(contract)
    assert problem.endswith("toy.v1.Row has no column with ROLE_EVENT_TIME; use Share, such as Share(0.2)")
    assert list(Share(0.2).list_problems(contract)) == []
