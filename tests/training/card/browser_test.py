"""The card in a real browser: nothing to complain of, nothing asked for, wide and narrow, light, dark and on paper."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import Browser, needs_browser, running_browser
from support.cards import FAILED, PASSED, make_subject, with_importance
from support.releases import PROVENANCE, make_record

from athanor.training.card.page import CardSubject, write_card

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


def _make_refused() -> CardSubject:
    """From an unclean tree, with words that have no space in them and with markup."""
    endless = "endless" * 40
    failed = FAILED.model_copy(update={"gate": endless, "explanation": endless, "wanted": endless})
    markup = "<script>console.error('gate')</script>"
    record = make_record(
        status="refused",
        gates=[PASSED, failed, FAILED.model_copy(update={"explanation": markup})],
        trials=[{"algorithm": endless, "parameters": {endless: endless}, "scores": [0.5] * 10, "fit_s": 1.0}],
        slices=[{"slice": endless, "value": endless, "rows": 1, "label": {"rate": 0}, "metrics": {}}],
    )
    provenance = PROVENANCE.model_copy(update={"is_clean": False, "commit": "c" * 64, "host": endless})
    return make_subject(record=record, provenance=provenance, predicted=with_importance({endless: 0.5, markup: 0.25}))


@pytest.mark.parametrize(
    "look",
    [
        {"width": 1200},
        {"width": 800},
        {"width": 400},
        {"width": 1200, "is_dark": True},
        {"width": 700, "is_printed": True},
    ],
    ids=["wide", "middle", "narrow", "dark", "printed"],
)
@pytest.mark.parametrize("is_refused", [False, True], ids=["passed", "refused"])
def test_a_card_has_no_complaints_and_fits(
    browser: Browser, is_refused: bool, look: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "card.html"
    page.write_bytes(write_card(_make_refused() if is_refused else make_subject()))
    visit = browser.visit(page, tmp_path / "visit", **look)
    assert visit.console == ()
    assert visit.requests == (page.as_uri(),)
    assert visit.width == look["width"]
    assert visit.dom.count("<figure") == 4
    assert "<script" not in visit.dom
    assert visit.screenshot.stat().st_size > 10_000


def test_dark_looks_unlike_light(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "card.html"
    page.write_bytes(write_card(make_subject()))
    light, dark = (browser.visit(page, tmp_path / f"{is_dark}", is_dark=is_dark) for is_dark in (False, True))
    assert light.screenshot.read_bytes() != dark.screenshot.read_bytes()


def test_a_visit_sees_markup_that_came_from_data(browser: Browser, tmp_path: Path) -> None:
    """The page's own policy stops a script even where it stands in the page; the browser complains of it."""
    page = tmp_path / "card.html"
    page.write_bytes(write_card(make_subject()).replace(b"</main>", b"<script>alert(1)</script></main>"))
    (complaint,) = browser.visit(page, tmp_path / "visit").console
    assert "Content Security Policy" in complaint


def test_a_visit_sees_a_card_that_is_too_wide(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "card.html"
    page.write_bytes(write_card(make_subject()).replace(b"</main>", b"<p style='width: 900px'>x</p></main>"))
    assert browser.visit(page, tmp_path / "visit", width=400).width >= 900
