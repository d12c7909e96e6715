"""The page in a real browser: nothing to complain of, nothing asked for, wide and narrow, light, dark and on paper.

Beside it, that the visit itself would see what is wrong with a page.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from support.browser import Browser, needs_browser, running_browser
from support.flights import make_columns

from athanor.contract.validation import validate
from athanor.data.checks.findings import Finding
from athanor.data.profiles.drift import measure_drift
from athanor.data.profiles.profile import profile
from athanor.data.report.page import DataReport, write_report
from projects.delays.model import MODEL

pytestmark = needs_browser

_CONTRACT: Final = MODEL.contract
_COLUMNS: Final = _CONTRACT.dataset_columns


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def _make_report(values: dict[str, NDArray[Any]], **changed: Any) -> DataReport:
    facts = {"rows": "3,000", "digest": 64 * "d"}
    return replace(DataReport("delays", facts, _COLUMNS, (), profile(_COLUMNS, values)), **changed)


def _make_poisoned() -> DataReport:
    """Rows that break the contract, one of them with markup, compared with others."""
    values = make_columns(3_000)
    values["distance"][:9] = -1e9
    values["wind_speed"][5] = np.inf
    values["origin"][7] = "<script>console.error('origin')</script>"
    values["carrier"][:4] = "ua\N{RIGHT-TO-LEFT OVERRIDE}"
    found = [
        Finding(
            column=breach.column.name,
            rule=breach.rule.value,
            count=len(breach.rows),
            share=len(breach.rows) / 3_000,
            message=f"{breach.column.name} {breach.rule.value} {len(breach.rows)}",
            samples=tuple(f"row {violation.row}: {violation}" for violation in breach)[:3],
        )
        for breach in validate(_COLUMNS, values)
    ]
    assert {finding.column for finding in found} == {"distance", "wind_speed", "origin", "carrier"}
    reference, poisoned = profile(_COLUMNS, make_columns(2_000, seed=1)), profile(_COLUMNS, values)
    return _make_report(
        values,
        findings=found,
        profile=poisoned,
        reference=reference,
        reference_name="delays 3, 2013-09-01 to 2013-10-01",
        drift=measure_drift(_CONTRACT, reference, poisoned),
    )


@pytest.mark.parametrize(
    "look",
    [{"width": 1200}, {"width": 400}, {"width": 1200, "is_dark": True}, {"width": 700, "is_printed": True}],
    ids=["wide", "narrow", "dark", "printed"],
)
@pytest.mark.parametrize("is_poisoned", [False, True], ids=["fresh", "poisoned"])
def test_a_page_has_no_complaints_and_fits(
    browser: Browser, is_poisoned: bool, look: dict[str, Any], tmp_path: Path
) -> None:
    report = _make_poisoned() if is_poisoned else _make_report(make_columns(3_000))
    page = tmp_path / "report.html"
    write_report(page, report)
    visit = browser.visit(page, tmp_path / "visit", **look)
    assert visit.console == ()
    assert visit.requests == (page.as_uri(),)
    assert visit.width == look["width"]
    assert visit.dom.count("<article") == len(_COLUMNS)
    assert "<script" not in visit.dom
    assert visit.screenshot.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("<script>console.error('it broke')</script>", "error: it broke"),
        ("<script>console.warn('beware')</script>", "warning: beware"),
        ("<script>console.log('by the way', 7)</script>", "log: by the way 7"),
        ("<script>absent()</script>", "error: Uncaught ReferenceError: absent is not defined"),
        ("<script>Promise.reject(new Error('late'))</script>", "error: Uncaught (in promise) Error: late"),
        ("<img src='absent.png'>", "error: Failed to load resource: net::ERR_FILE_NOT_FOUND"),
        ("<script src='http://absent.invalid/x.js'></script>", "error: Failed to load resource: net::ERR_"),
        ("<script>setTimeout(() => console.error('after a while'), 200)</script>", "error: after a while"),
    ],
)
def test_a_visit_reports_defects_of_a_page(browser: Browser, body: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>x</title>{body}", "utf-8")
    (found,) = browser.visit(page, tmp_path / "visit").console
    assert found.startswith(complaint)


def test_a_visit_reports_requests_that_succeed(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "style.css").write_text("p { color: red }", "utf-8")
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><link rel=stylesheet href=style.css><p>x</p>", "utf-8")
    visit = browser.visit(page, tmp_path / "visit")
    assert visit.console == ()
    assert visit.requests == (page.as_uri(), (tmp_path / "style.css").as_uri())


def test_a_visit_sees_a_page_that_is_wider_than_its_window(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><title>x</title><div style='width: 900px'>x</div>", "utf-8")
    assert browser.visit(page, tmp_path / "visit", width=400).width >= 900


def test_a_visit_sees_markup_that_came_from_data(browser: Browser, tmp_path: Path) -> None:
    """The page's own policy stops a script even where it stands in the page; the browser complains of it."""
    page = tmp_path / "report.html"
    write_report(page, _make_report(make_columns(50)))
    page.write_text(page.read_text("utf-8").replace("</main>", "<script>alert(1)</script></main>"), "utf-8")
    (complaint,) = browser.visit(page, tmp_path / "visit").console
    assert "Content Security Policy" in complaint


def test_a_page_that_is_not_there_is_an_error(browser: Browser, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ERR_FILE_NOT_FOUND"):
        browser.visit(tmp_path / "absent.html", tmp_path / "visit")
