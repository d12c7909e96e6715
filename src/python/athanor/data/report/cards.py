"""The part of the report about one column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from athanor.contract.columns import Column, Kind
from athanor.data.checks.findings import Finding
from athanor.data.profiles.drift import ColumnDrift, Statistic
from athanor.data.profiles.profile import ColumnProfile, NumberProfile, TextProfile, TimeProfile
from athanor.data.report import charts
from athanor.pages import wording

STATISTICS: Final = {
    Statistic.POPULATION_STABILITY: "Population stability index",
    Statistic.KOLMOGOROV_SMIRNOV: "Kolmogorov-Smirnov distance",
    Statistic.JENSEN_SHANNON: "Jensen-Shannon distance",
    Statistic.MISSING_RATE: "Change of the missing share",
    Statistic.TRUE_RATE: "Change of the true share",
}
_RATES: Final = (Statistic.MISSING_RATE, Statistic.TRUE_RATE)


@dataclass(frozen=True)
class Row:
    """One statistic of a column, formatted: of the dataset, and of the reference or ""."""

    name: str
    own: str
    reference: str


@dataclass(frozen=True)
class Shift:
    """Drift of one statistic, formatted, and the `ratio` of value to budget, NaN without a value."""

    name: str
    value: str
    budget: str
    probability: str
    ratio: float
    has_drifted: bool

    @property
    def length(self) -> float:
        """Length of its bar in a drawing of width 100 with the budget in the middle."""
        return 0.0 if np.isnan(self.ratio) else round(50 * min(self.ratio, 2.0), 1)


@dataclass(frozen=True)
class Card:
    """One column.

    Attributes:
        states: labels: refused, drifted, set aside.
        chart: an `<svg>` element, "" if there is nothing to draw.
        missing, reference_missing: shares of missing values, 0 to 1; None without a reference.
    """

    column: Column
    roles: tuple[str, ...]
    states: tuple[str, ...]
    chart: str
    rows: tuple[Row, ...]
    has_reference: bool
    missing: float
    reference_missing: float | None
    shifts: tuple[Shift, ...]


def make_card(
    column: Column,
    *,
    own: ColumnProfile,
    reference: ColumnProfile | None,
    findings: Sequence[Finding],
    drift: Sequence[ColumnDrift],
) -> Card:
    """Makes a card; ignores a reference in which the column has another kind."""
    comparable = reference if type(reference) is type(own) else None
    rows = list(_describe(column, own))
    others = dict(_describe(column, comparable)) if comparable else {}
    return Card(
        column=column,
        roles=tuple(role.name.lower().replace("_", " ") for role in sorted(column.roles, key=lambda role: role.value)),
        states=tuple(_states(findings, drift)),
        chart=charts.draw(column, own, comparable),
        rows=tuple(Row(name, value, others.get(name, "")) for name, value in rows),
        has_reference=comparable is not None,
        missing=_missing(own),
        reference_missing=_missing(comparable) if comparable else None,
        shifts=tuple(map(make_shift, drift)),
    )


def make_shift(drift: ColumnDrift) -> Shift:
    shown = wording.share if drift.statistic in _RATES else _three_digits
    return Shift(
        name=STATISTICS[drift.statistic],
        value=shown(drift.value),
        budget=shown(drift.budget),
        probability=wording.probability(drift.adjusted_p_value),
        ratio=drift.value / drift.budget if drift.budget else float(drift.value > 0) * 2,
        has_drifted=drift.has_drifted,
    )


def _three_digits(value: float) -> str:
    return wording.NONE if np.isnan(value) else f"{value:.3f}"


def _states(findings: Sequence[Finding], drift: Sequence[ColumnDrift]) -> Iterator[str]:
    if any(finding.refuses for finding in findings):
        yield "refused"
    if any(not finding.refuses for finding in findings):
        yield "set aside"
    if any(found.has_drifted for found in drift):
        yield "drifted"


def _missing(profile: ColumnProfile) -> float:
    return profile.missing / profile.rows if profile.rows else 0.0


def _describe(column: Column, profile: ColumnProfile) -> Iterator[tuple[str, str]]:
    yield "Rows", wording.count(profile.rows)
    yield "Missing", wording.share(_missing(profile))
    match profile:
        case NumberProfile() if column.kind is Kind.BOOLEAN:
            yield "True", wording.share(charts.true_share(profile))
        case NumberProfile():
            yield from _describe_numbers(profile)
        case TextProfile():
            yield "Distinct", wording.count(profile.distinct)
            if profile.categories:
                yield "Most frequent", wording.shorten(profile.categories[0], 40)
        case TimeProfile():
            yield "First", wording.instant(profile.first)
            yield "Last", wording.instant(profile.last)


def _describe_numbers(profile: NumberProfile) -> Iterator[tuple[str, str]]:
    more = "" if profile.is_exact else "more than "
    yield "Distinct", f"{more}{wording.count(len(profile.knots))}"
    names = ("Minimum", "Lower quartile", "Median", "Upper quartile", "Maximum")
    for name, quantile in zip(names, profile.quantiles((0, 0.25, 0.5, 0.75, 1)), strict=True):
        yield name, wording.number(quantile)
    yield "Mean", wording.number(profile.mean)
    yield "Standard deviation", wording.number(profile.deviation)
