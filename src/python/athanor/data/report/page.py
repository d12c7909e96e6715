"""The HTML page about a dataset: its contents, its violations and its drift.

One self-contained file: no scripts, no fonts, no external resources. Deterministic: equal reports give equal bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from athanor.contract.columns import Column
from athanor.data.checks.findings import Finding, Note
from athanor.data.profiles.drift import DriftReport, Statistic
from athanor.data.profiles.profile import Profile
from athanor.data.report.cards import Card, Shift, make_card, make_shift
from athanor.pages import wording
from athanor.pages.rendering import render_page
from athanor.system.atomic import replace_file

# A column has at most one of the two distances, so they share a table column.
_DRIFT_HEADINGS: Final[Mapping[str, tuple[Statistic, ...]]] = {
    "Stability index": (Statistic.POPULATION_STABILITY,),
    "Distance": (Statistic.KOLMOGOROV_SMIRNOV, Statistic.JENSEN_SHANNON),
    "Missing": (Statistic.MISSING_RATE,),
    "True": (Statistic.TRUE_RATE,),
}


@dataclass(frozen=True)
class DataReport:
    """The contents of a page.

    Attributes:
        title: page title.
        facts: about the dataset, by name, in display order: rows, digest, contract…
        contract_columns: all columns of the dataset.
        findings: broken rules.
        profile: of the dataset.
        reference: profile to compare with, or None.
        reference_name: display name of the reference, "" without one.
        drift: drift from the reference; None if not measured.
        notes: checks that were left out, and the like.
    """

    title: str
    facts: Mapping[str, str]
    contract_columns: Sequence[Column]
    findings: Sequence[Finding]
    profile: Profile
    reference: Profile | None = None
    reference_name: str = ""
    drift: DriftReport | None = None
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class Verdict:
    """The outcome; `kind` is accepted, drifted or refused."""

    kind: str
    text: str


@dataclass(frozen=True)
class Violation:
    """A row of the violations table: the `allowed` values, "" if the rule is not about values, and the findings."""

    finding: Finding
    allowed: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class DriftRow:
    """A row of the drift table: the column's statistic for each heading, or None if it has no budget."""

    column: str
    has_drifted: bool
    cells: tuple[Shift | None, ...]


def write_report(path: Path, report: DataReport) -> None:
    """Writes the page atomically."""
    replace_file(path, render(report).encode(), durable=False)


def render(report: DataReport) -> str:
    """The page as HTML. Escapes all text, and shows invisible characters as escapes."""
    headings = _headings(report.drift)
    cards = _make_cards(report)
    return render_page(
        "athanor.data.report",
        "report.html.jinja",
        {"percent": _percent},
        report=report,
        verdict=decide_verdict(report),
        violations=list(_list_violations(report)),
        headings=headings,
        drift_rows=list(_list_drift(report.drift, headings)),
        cards=cards,
        names={card.column.name for card in cards},
        reference_name=report.reference_name or "the reference",
    )


def _percent(share: float) -> str:
    """A length in a drawing of width 100."""
    return f"{100 * share:.4g}"


def decide_verdict(report: DataReport) -> Verdict:
    """Refused if a finding refuses, else drifted if a column has, else accepted."""
    kind = "accepted"
    if report.drift is not None and report.drift.has_drifted:
        kind = "drifted"
    if any(finding.refuses for finding in report.findings):
        kind = "refused"
    return Verdict(kind, " ".join(_explain(report)))


def _explain(report: DataReport) -> Iterator[str]:
    refusing = sum(finding.refuses for finding in report.findings)
    if refusing:
        are_broken = f"{wording.plural(refusing, 'rule')} {'is' if refusing == 1 else 'are'} broken"
        yield f"{are_broken} beyond the contract's budgets."
    else:
        yield "The data meets the contract."
    if within := len(report.findings) - refusing:
        yield f"Rows that break {wording.plural(within, 'rule')} were set aside, within the budget."
    if report.drift is not None:
        compared = {found.column for found in report.drift.columns}
        drifted = len({found.column for found in report.drift.columns if found.has_drifted})
        have = f"{drifted} of {len(compared)} compared columns {'has' if drifted == 1 else 'have'}"
        reference = report.reference_name or "the reference"
        if compared:
            yield f"{have if drifted else 'No compared column has'} drifted from {reference}."
        else:
            yield f"Nothing was compared with {reference}: no column has a drift budget."


def _list_violations(report: DataReport) -> Iterator[Violation]:
    """Violations that refuse the dataset first, each group in its original order."""
    columns = {column.name: column for column in report.contract_columns}
    for finding in sorted(report.findings, key=lambda finding: not finding.refuses):
        is_about_values = _only_counts(finding) and finding.column in columns
        allowed = columns[finding.column].allowed if is_about_values else ""
        yield Violation(finding, allowed, tuple(_describe(finding, allowed)))


def _only_counts(finding: Finding) -> bool:
    """Whether the message only repeats the counts in the other cells of its row."""
    counted = f"{finding.column} {finding.rule}: {finding.count} rows ({finding.share:.2%})"
    return finding.message == counted.strip()


def _describe(finding: Finding, allowed: str) -> Iterator[str]:
    """Message and samples, without the parts that other cells of the row show."""
    if not _only_counts(finding):
        yield finding.message
    for sample in finding.samples:
        yield sample.removesuffix(f"; give {allowed}").removesuffix(f" is not allowed ({finding.rule})")


def _headings(drift: DriftReport | None) -> tuple[str, ...]:
    """The headings with at least one value."""
    measured = {found.statistic for found in drift.columns} if drift else set()
    return tuple(heading for heading, statistics in _DRIFT_HEADINGS.items() if measured & set(statistics))


def _list_drift(drift: DriftReport | None, headings: Sequence[str]) -> Iterator[DriftRow]:
    """One row per column, in order of first appearance in the report."""
    found = drift.columns if drift else ()
    for name in dict.fromkeys(each.column for each in found):
        of_column = {each.statistic: make_shift(each) for each in found if each.column == name}
        cells = (
            next((of_column[statistic] for statistic in _DRIFT_HEADINGS[heading] if statistic in of_column), None)
            for heading in headings
        )
        yield DriftRow(name, any(each.has_drifted for each in of_column.values()), tuple(cells))


def _make_cards(report: DataReport) -> list[Card]:
    drift = report.drift.columns if report.drift else ()
    return [
        make_card(
            column,
            own=report.profile.columns[column.name],
            reference=report.reference.columns.get(column.name) if report.reference else None,
            findings=[finding for finding in report.findings if finding.column == column.name],
            drift=[found for found in drift if found.column == column.name],
        )
        for column in report.contract_columns
        if column.name in report.profile.columns
    ]
