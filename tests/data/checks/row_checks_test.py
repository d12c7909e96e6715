"""Rules for values and rows: each fails here, with its message."""

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.properties import PROPERTY
from support.protos import Toy

from athanor.contract.columns import Columns
from athanor.contract.contract import Contract
from athanor.contract.v1 import options_pb2
from athanor.data.checks.findings import Finding
from athanor.data.checks.row_checks import REASONS, Tally, ValidatedBatch, validate_batch
from athanor.data.dataset import RowCheck
from athanor.data.tables.tables import Mistyped, from_arrow, to_arrow
from athanor.errors import ContractError

_CONTRACT = Toy().read()
_LENGTH: Final = 20
_AS_OF: Final = datetime(2014, 1, 1, tzinfo=UTC)


def _make_rows(**changed: Any) -> dict[str, NDArray[Any]]:
    """Twenty valid rows, with some columns replaced."""
    rows: dict[str, NDArray[Any]] = {
        "at": np.datetime64("2013-01-01", "us") + np.arange(_LENGTH) * np.timedelta64(1, "h"),
        "id": np.arange(1.0, _LENGTH + 1),
        "amount": np.linspace(0, 9, _LENGTH),
        "count": np.arange(_LENGTH) * 1.0,
        "color": np.array(["red", "green"] * (_LENGTH // 2), dtype=object),
        "code": np.array(["A", ""] * (_LENGTH // 2), dtype=object),
        "is_new": np.array([0.0, np.nan] * (_LENGTH // 2)),
        "won": np.array([0.0, 1.0, 1.0, 0.0] * (_LENGTH // 4)),
    }
    return {**rows, **changed}


def _spoil(name: str, value: Any, count: int = 1) -> dict[str, NDArray[Any]]:
    """Valid rows but for the first `count`."""
    rows = _make_rows()
    rows[name][:count] = value
    return rows


def _validate(
    values: Columns, *checks: RowCheck, mistyped: tuple[Mistyped, ...] = (), as_of: datetime = _AS_OF
) -> ValidatedBatch:
    return validate_batch(_CONTRACT, checks, values, mistyped, as_of)


def _with_budget(budget: float) -> Contract:
    """Another rejected budget."""
    toy = Toy()
    toy.row.options.Extensions[options_pb2.dataset].rejected_budget = budget
    return toy.read()


def _refusals(tally: Tally, contract: Contract = _CONTRACT) -> list[Finding]:
    return [finding for finding in tally.findings(contract) if finding.refuses]


def test_valid_rows_are_all_kept_as_they_came() -> None:
    validated = _validate(_make_rows())
    assert (validated.tally.rows, validated.tally.rejected, validated.rejected.num_rows) == (_LENGTH, {}, 0)
    assert validated.kept == to_arrow(_CONTRACT.dataset_columns, _make_rows())
    assert list(validated.tally.findings(_CONTRACT)) == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("amount", np.inf, "amount FINITE"),
        ("amount", -1.0, "amount MINIMUM"),
        ("amount", 9.5, "amount MAXIMUM"),
        ("amount", np.nan, "amount REQUIRED"),
        ("id", 0.5, "id WHOLE"),
        ("color", "blue", "color CATEGORY"),
        ("color", "", "color REQUIRED"),
        ("code", "a", "code PATTERN"),
        ("at", np.datetime64("NaT"), "at REQUIRED"),
        ("at", np.datetime64("20000-01-01", "us"), "at TIMESTAMP"),
        ("at", np.datetime64("2014-01-01T00:00:00.000001", "us"), "at FUTURE"),
        ("won", np.nan, "won REQUIRED"),
        ("won", 2.0, "won MAXIMUM"),
    ],
)
def test_rows_that_break_a_rule_are_set_aside_under_a_reason(name: str, value: Any, reason: str) -> None:
    validated = _validate(_spoil(name, value, count=2))
    assert validated.tally.rejected[reason] == validated.tally.rejected.total() == 2
    assert (validated.kept.num_rows, validated.rejected.num_rows) == (_LENGTH - 2, 2)
    assert all(reason in reasons for reasons in validated.rejected[REASONS].to_pylist())
    assert from_arrow(_CONTRACT.dataset_columns, validated.kept)["id"].tolist() == list(range(3, _LENGTH + 1))


def test_an_event_at_the_very_moment_has_happened() -> None:
    last = _make_rows()["at"].max().astype("M8[s]").item().replace(tzinfo=UTC)
    assert _validate(_make_rows(), as_of=last).rejected.num_rows == 0


def test_set_aside_rows_keep_their_values() -> None:
    rejected = _validate(_spoil("amount", -1.5, count=2)).rejected
    assert (rejected["amount"].to_pylist(), rejected["id"].to_pylist()) == ([-1.5, -1.5], [1, 2])


def test_a_row_that_breaks_several_rules_counts_once_and_has_all_its_reasons() -> None:
    rows = _make_rows()
    rows["amount"][3], rows["color"][3], rows["color"][1] = -1, "blue", "blue"
    validated = _validate(rows)
    assert validated.tally.rejected == {"amount MINIMUM": 1, "color CATEGORY": 1}
    assert validated.tally.broken == {("amount", "MINIMUM"): 1, ("color", "CATEGORY"): 2}
    assert validated.rejected["id"].to_pylist() == [2, 4]
    assert validated.rejected[REASONS].to_pylist() == [["color CATEGORY"], ["amount MINIMUM", "color CATEGORY"]]


def test_a_value_of_another_type_is_named_and_not_missing_as_well() -> None:
    amount = _CONTRACT.column("amount")
    validated = _validate(_spoil("amount", np.nan), mistyped=(Mistyped(amount, np.array([0]), ["much"]),))
    assert validated.tally.rejected == {"amount TYPE": 1}
    (sample,) = validated.tally.samples["amount", "TYPE"]
    assert sample == "(1): 'much' is str (TYPE); give a number from 0 to 9 kg"


def test_a_missing_value_beside_one_of_another_type_is_still_missing() -> None:
    amount = _CONTRACT.column("amount")
    validated = _validate(_spoil("amount", np.nan, count=2), mistyped=(Mistyped(amount, np.array([0]), ["much"]),))
    assert validated.tally.rejected == {"amount TYPE": 1, "amount REQUIRED": 1}


def heavy_is_red(columns: Columns) -> NDArray[np.bool_]:
    """What weighs more than five is red."""
    return np.asarray((columns["amount"] > 5) & (columns["color"] != "red"))


def test_a_project_adds_rules_of_its_own_under_their_names() -> None:
    rows = _make_rows()
    wrong = heavy_is_red(rows)
    validated = _validate(rows, heavy_is_red)
    assert validated.tally.rejected == {"heavy_is_red": wrong.sum()}
    assert validated.rejected["id"].to_pylist() == rows["id"][wrong].tolist()
    assert validated.tally.samples["", "heavy_is_red"][0].endswith(": What weighs more than five is red.")


def test_rules_of_the_project_see_only_rows_that_keep_the_contract() -> None:
    rows = _spoil("amount", np.inf, count=_LENGTH)

    def never(columns: Columns) -> NDArray[np.bool_]:
        raise AssertionError("no row is left to look at")

    assert _validate(rows, never).tally.rejected == {"amount FINITE": _LENGTH}


@pytest.mark.parametrize("answer", [np.zeros(3, dtype=np.bool_), np.zeros(_LENGTH), None])
def test_a_rule_of_the_project_that_does_not_answer_for_each_row_is_refused(answer: Any) -> None:
    with pytest.raises(ContractError, match=r"row check <lambda> returned .*True for each row"):
        _validate(_make_rows(), lambda columns: answer)


def test_within_the_budget_findings_do_not_refuse() -> None:
    """It is inclusive."""
    findings = list(_validate(_spoil("amount", -1.0, count=5)).tally.findings(_CONTRACT))
    assert [(f.column, f.rule, f.count, f.share, f.refuses) for f in findings] == [
        ("amount", "MINIMUM", 5, 0.25, False)
    ]


def test_beyond_the_budget_column_rule_count_share_and_three_samples_are_named() -> None:
    rows = _spoil("amount", -1.5, count=6)
    rows["color"][5] = "blue"
    whole, amount, color = _refusals(_validate(rows).tally)
    assert str(whole) == "REJECTED_BUDGET: 6 of 20 rows (30.00%) break a rule, allowed: 25.00%"
    assert amount.message == "amount MINIMUM: 6 rows (30.00%)"
    assert amount.samples[0] == "(1): -1.5 is not allowed (MINIMUM); give a number from 0 to 9 kg"
    assert len(amount.samples) == 3
    assert str(color).startswith("color CATEGORY: 1 rows (5.00%), for example (6): 'blue' is not allowed (CATEGORY)")


def test_without_a_budget_one_row_is_too_many() -> None:
    tally = _validate(_spoil("amount", -1.0)).tally
    assert "allowed: 0.00%" in _refusals(tally, _with_budget(0.0))[0].message


@PROPERTY
@given(st.lists(st.sampled_from(["fine", "heavy", "blue", "both"]), max_size=_LENGTH), st.integers(1, 7))
def test_counts_do_not_depend_on_the_batch_size(spoilt: list[str], batch: int) -> None:
    rows = _make_rows()
    for row, how in enumerate(spoilt):
        rows["amount"][row] = 99 if how in ("heavy", "both") else rows["amount"][row]
        rows["color"][row] = "blue" if how in ("blue", "both") else rows["color"][row]
    whole, parts = _validate(rows), Tally()
    for start in range(0, _LENGTH, batch):
        parts.add(_validate({name: values[start : start + batch] for name, values in rows.items()}).tally)
    assert (parts.rows, parts.rejected, parts.broken) == (_LENGTH, whole.tally.rejected, whole.tally.broken)
    assert {key: len(samples) for key, samples in parts.samples.items()} == {
        key: min(3, count) for key, count in whole.tally.broken.items()
    }


def test_rows_that_share_their_key_are_counted_and_get_their_reason() -> None:
    tally, rows = Tally(_LENGTH), to_arrow(_CONTRACT.dataset_columns, _make_rows()).slice(0, 5)
    rejected = tally.reject_repeated(_CONTRACT, rows)
    assert tally.rejected == {"UNIQUE": 5}
    assert tally.samples["", "UNIQUE"] == [f"({number}) is also the key of another row" for number in (1, 2, 3)]
    assert rejected[REASONS].to_pylist() == [["UNIQUE"]] * 5
    assert rejected.schema == _validate(_spoil("amount", -1.0)).rejected.schema
