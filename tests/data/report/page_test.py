"""The page shows all findings, the worst first."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.reports import (
    COLUMNS,
    LENGTH,
    REFUSED,
    SET_ASIDE,
    SHIFTED,
    STABLE,
    Page,
    make_compared_report,
    make_drift,
    make_report,
    make_values,
)

from athanor.data.checks.findings import Finding
from athanor.data.profiles.drift import ColumnDrift, Statistic
from athanor.data.profiles.profile import profile
from athanor.data.report.page import DataReport, Verdict, decide_verdict, render, write_report
from athanor.pages.wording import NONE


@pytest.mark.parametrize(
    ("report", "kind", "text"),
    [
        (make_report(), "accepted", "The data meets the contract."),
        (
            make_report(findings=[SET_ASIDE]),
            "accepted",
            "The data meets the contract. Rows that break 1 rule were set aside, within the budget.",
        ),
        (make_report(findings=[REFUSED]), "refused", "1 rule is broken beyond the contract's budgets."),
        (
            make_compared_report(STABLE),
            "accepted",
            "The data meets the contract. No compared column has drifted from last week.",
        ),
        (
            make_compared_report(),
            "accepted",
            "The data meets the contract. Nothing was compared with last week: no column has a drift budget.",
        ),
        (
            make_compared_report(SHIFTED, STABLE),
            "drifted",
            "The data meets the contract. 1 of 2 compared columns has drifted from last week.",
        ),
        (
            make_compared_report(SHIFTED, findings=[SET_ASIDE, REFUSED, REFUSED]),
            "refused",
            "2 rules are broken beyond the contract's budgets. Rows that break 1 rule were set aside, within the "
            "budget. 1 of 1 compared columns has drifted from last week.",
        ),
    ],
)
def test_the_verdict_is_a_sentence(report: DataReport, kind: str, text: str) -> None:
    assert decide_verdict(report) == Verdict(kind, text)
    assert f"{kind.capitalize()} {text}" in Page(render(report)).words


def test_facts_are_shown_in_order() -> None:
    assert "Rows 20 Digest 0123abcd" in Page(render(make_report())).words


def test_violations_for_which_it_is_refused_come_first() -> None:
    words = Page(render(make_report(findings=[SET_ASIDE, REFUSED]))).words
    refused = "count MISSING_BUDGET refused 12 60% count is missing in 60.00% of rows, allowed are 50.00%"
    assert f"{refused} amount MINIMUM set aside 2 10% a number from 0 to 9 kg row 3: -1.0" in words


def test_a_finding_about_the_dataset_names_no_column_and_counts_nothing() -> None:
    finding = Finding("", "LARGEST_GAP", 0, float("nan"), "no row for 19 h")
    assert (
        f"the dataset LARGEST_GAP refused {NONE} {NONE} no row for 19 h"
        in Page(render(make_report(findings=[finding]))).words
    )


def test_messages_of_project_checks_are_shown() -> None:
    finding = Finding("", "balanced", 0, float("nan"), "balanced: all rows are of one carrier")
    words = Page(render(make_report(findings=[finding]))).words
    assert f"the dataset balanced refused {NONE} {NONE} balanced: all rows are of one carrier" in words


def test_a_page_without_findings_has_a_note() -> None:
    assert "No rule is broken." in Page(render(make_report())).words
    assert "No rule is broken." not in Page(render(make_report(findings=[SET_ASIDE]))).words


def test_drift_is_shown_with_budgets_by_column_and_statistic() -> None:
    missing = make_drift("color", Statistic.MISSING_RATE, 0.2, has_drifted=True)
    words = Page(render(make_compared_report(SHIFTED, STABLE, missing))).words
    assert "Column Stability index Distance Missing Outcome" in words
    assert "color 0.310 of 0.100 20% of 10% drifted amount 0.020 of 0.100 within budget" in words
    assert "Jensen-Shannon distance 0.310 of 0.100, p < 0.001: drifted" in words


def test_drift_that_cannot_be_measured_has_no_value() -> None:
    unknown = ColumnDrift("amount", Statistic.KOLMOGOROV_SMIRNOV, np.nan, 0.1, np.nan, np.nan, has_drifted=True)
    assert f"amount {NONE} of 0.100 drifted" in Page(render(make_compared_report(unknown))).words


def test_drift_above_the_budget_may_be_chance() -> None:
    chance = replace(STABLE, value=0.4, adjusted_p_value=0.3)
    assert "0.400 of 0.100, p = 0.300: may be chance" in Page(render(make_compared_report(chance))).words


def test_without_a_reference_there_is_no_drift_section() -> None:
    words = Page(render(make_report())).words
    assert "rift" not in words
    assert "Reference" not in words


def test_each_column_is_shown_with_its_statistics() -> None:
    words = Page(render(make_report())).words
    assert "How much a number from 0 to 9 kg · feature" in words
    assert "Rows 20 Missing 15% Distinct 1 Minimum 7 Lower quartile 7 Median 7 Upper quartile 7 Maximum 7" in words
    assert "Rows 20 Missing 0% First 2013-01-01 00:00:00 Last 2013-01-01 19:00:00" in words
    assert "Rows 20 Missing 50% Distinct 1 Most frequent A" in words
    assert "Rows 20 Missing 50% True 0%" in words
    assert "Missing 15%, allowed 50%" in words


def test_statistics_of_dataset_and_reference_are_side_by_side() -> None:
    words = Page(render(make_compared_report(STABLE))).words
    assert "Dataset last week Rows 20 20 Missing 0% 0% Distinct 20 1 Minimum 0 8.5" in words


def _cards(report: DataReport) -> dict[str, str]:
    """The words about each column."""
    _, *cards = render(report).split("<article")
    return {column.name: Page(f"<article{card}").words for column, card in zip(COLUMNS, cards, strict=True)}


def test_a_reference_that_lacks_a_column_or_had_it_of_another_kind_is_not_compared() -> None:
    text = next(column for column in COLUMNS if column.name == "code")
    others = [replace(text, name="amount") if column.name == "amount" else column for column in COLUMNS]
    values = make_values(amount=np.full(LENGTH, "much", dtype=object))
    reference = profile([column for column in others if column.name != "count"], values)
    cards = _cards(make_report(reference=reference, reference_name="last week"))
    assert {name for name, words in cards.items() if "last week" not in words} == {"amount", "count"}


def test_a_column_shows_its_states() -> None:
    refused = replace(REFUSED, column="amount")
    drifted = replace(SHIFTED, column="amount")
    cards = _cards(make_compared_report(drifted, STABLE, findings=[SET_ASIDE, refused]))
    assert "amount refused set aside drifted Index" in cards["amount"]
    assert "count Index" in cards["count"]


def test_an_empty_dataset_has_a_page() -> None:
    empty = {name: values[:0] for name, values in make_values().items()}
    words = Page(render(make_report(profile=profile(COLUMNS, empty)))).words
    assert "There is no value to draw." in words
    assert f"Minimum {NONE} Lower quartile {NONE}" in words


def test_links_have_targets_and_identifiers_are_unique() -> None:
    page = Page(render(make_compared_report(SHIFTED, findings=[SET_ASIDE, Finding("gone", "TYPE", 1, 0.05, "gone")])))
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    links = [link for link in page.values("href") if link != "data:,"]
    assert set(links) <= {f"#{identifier}" for identifier in identifiers}
    assert {f"#column-{column.name}" for column in COLUMNS} <= set(links)


def test_the_page_replaces_the_old_one_atomically(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "toy.html"
    write_report(path, make_report(title="old"))
    write_report(path, make_report(title="東京"))
    assert path.read_text("utf-8") == render(make_report(title="東京"))
    assert list(path.parent.iterdir()) == [path]
