"""Data reports of a small contract, and a parser for pages."""

from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from support.protos import Toy

from athanor.data.checks.findings import Finding
from athanor.data.profiles.drift import ColumnDrift, DriftReport, Statistic
from athanor.data.profiles.profile import profile
from athanor.data.report.page import DataReport

COLUMNS: Final = Toy().read().dataset_columns
LENGTH: Final = 20
_INVISIBLE: Final = ("style", "title")


def make_values(**changed: Any) -> dict[str, NDArray[Any]]:
    values: dict[str, NDArray[Any]] = {
        "at": np.datetime64("2013-01-01", "us") + np.arange(LENGTH) * np.timedelta64(1, "h"),
        "id": np.arange(1.0, LENGTH + 1),
        "amount": np.linspace(0, 9, LENGTH),
        "count": np.where(np.arange(LENGTH) < 3, np.nan, 7.0),
        "color": np.array(["red", "green"] * (LENGTH // 2), dtype=object),
        "code": np.array(["A", ""] * (LENGTH // 2), dtype=object),
        "is_new": np.array([0.0, np.nan] * (LENGTH // 2)),
        "won": np.array([0.0, 1.0, 1.0, 0.0] * (LENGTH // 4)),
    }
    return {**values, **changed}


def make_drift(column: str, statistic: Statistic, value: float, *, has_drifted: bool) -> ColumnDrift:
    return ColumnDrift(column, statistic, value, 0.1, 0.00001, 0.0002, has_drifted)


STABLE: Final = make_drift("amount", Statistic.POPULATION_STABILITY, 0.02, has_drifted=False)
SHIFTED: Final = make_drift("color", Statistic.JENSEN_SHANNON, 0.31, has_drifted=True)
SET_ASIDE: Final = Finding(
    "amount",
    "MINIMUM",
    2,
    0.1,
    "amount MINIMUM: 2 rows (10.00%)",
    ("row 3: -1.0 is not allowed (MINIMUM); give a number from 0 to 9 kg",),
    refuses=False,
)
REFUSED: Final = Finding("count", "MISSING_BUDGET", 12, 0.6, "count is missing in 60.00% of rows, allowed are 50.00%")


def make_report(**changed: Any) -> DataReport:
    made = DataReport(
        title="toy, snapshot 4",
        facts={"Rows": "20", "Digest": "0123abcd"},
        contract_columns=COLUMNS,
        findings=(),
        profile=profile(COLUMNS, make_values()),
    )
    return replace(made, **changed)


def make_compared_report(*drift: ColumnDrift, **changed: Any) -> DataReport:
    reference = profile(COLUMNS, make_values(amount=np.full(LENGTH, 8.5)))
    report = DriftReport(LENGTH, LENGTH, 0.05, drift)
    return make_report(reference=reference, reference_name="last week", drift=report, **changed)


class Page(HTMLParser):
    """A parsed page: elements with their attributes, and the visible words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Mapping[str, str | None]]] = []
        self.words = ""
        self._open = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open not in _INVISIBLE:
            self.words = " ".join(f"{self.words} {data}".split())

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]
