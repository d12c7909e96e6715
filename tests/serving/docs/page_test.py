"""The page of a service in a real browser, with a small service that validates rows by the contract."""

import json
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from support.browser import Browser, PageVisit, Tab, needs_browser, running_browser
from support.protos import Toy
from support.questions import PRICES, SPECIES, Question
from support.small_service import DIGEST, TOKEN, SmallService, run_small_service

from athanor.contract.contract import Contract
from athanor.serving.docs.openapi import DescribedModel, make_example_request
from athanor.serving.docs.page.rendering import render_gate, render_page
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_MARKUP: Final = "</script><script>console.error('it ran')</script><b title=\"x\" id='y'>&amp;"
_SETTLED: Final = "document.querySelector('#outcome > *') && !document.querySelector('[aria-busy]')"


def _page(contract: Contract = _CONTRACT) -> str:
    return render_page(DescribedModel(contract, ("1.2.3", "1.3.0")), 10_000)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def server() -> Iterator[SmallService]:
    with run_small_service() as serving:
        yield serving


def _submit(tab: Tab, **values: str) -> None:
    """Fills the form and sends it. A token comes as `token`, a column by its name; "missing" ticks the box."""
    for name, value in values.items():
        find = f"document.getElementById({json.dumps(name if name == 'token' else f'column-{name}')})"
        if value == "missing":
            tab.evaluate(f"{find}.closest('.field').querySelector('.missing input').click()")
        else:
            tab.evaluate(f"{find}.value = {json.dumps(value)}; {find}.form.dispatchEvent(new Event('input')); null")
    tab.evaluate("document.querySelector('form').requestSubmit()")
    tab.wait_until(_SETTLED)


def _ask(browser: Browser, server: SmallService, folder: Path, **values: str) -> tuple[PageVisit, str]:
    """The visit in which the form was sent, and the text of the form afterwards, violations included."""
    said: list[str] = []

    def act(tab: Tab) -> None:
        _submit(tab, **values)
        said.append(tab.evaluate("document.querySelector('form').innerText"))

    visit = browser.visit(server.address, folder / "visit", act=act)
    return visit, said[0]


def _list_requests(visit: PageVisit) -> tuple[str, ...]:
    """The requested addresses, without the data URLs that the browser draws some inputs with."""
    return tuple(address for address in visit.requests if not address.startswith("data:"))


class _Reader(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@needs_browser
@pytest.mark.parametrize(
    "look",
    [{"width": 1200}, {"width": 400}, {"width": 800, "is_dark": True}, {"width": 700, "is_printed": True}],
    ids=["wide", "narrow", "dark", "printed"],
)
def test_the_page_loads_without_complaints_and_fits(
    browser: Browser, look: dict[str, Any], server: SmallService, tmp_path: Path
) -> None:
    visit = browser.visit(server.address, tmp_path / "visit", **look)
    assert visit.console == ()
    assert _list_requests(visit) == (server.address,)
    assert visit.width == look["width"]
    assert visit.screenshot.stat().st_size > 10_000


@needs_browser
def test_the_form_with_its_examples_is_answered(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    visit, said = _ask(browser, server, tmp_path, token=TOKEN)
    assert visit.console == ()
    assert set(_list_requests(visit)[1:]) == {server.address.replace("/docs", "/v1/models/delays:predict")}
    assert "Probability of arriving 15 minutes late or more: 25.0 %" in said
    assert all(text in said for text in ("1.3.0", "challenger", DIGEST, "the-id"))
    (row,) = server.bodies[0]["flights"]
    assert set(row) == {_CONTRACT.row.fields_by_name[column.name].json_name for column in _CONTRACT.columns}


@needs_browser
@pytest.mark.parametrize(
    ("question", "prediction", "shown"),
    [
        (
            SPECIES,
            {
                "predictedSpecies": "gentoo",
                "adelieProbability": 0.005,
                "chinstrapProbability": 0.12,
                "gentooProbability": 0.875,
                "mayBeAdelie": False,
                "mayBeChinstrap": False,
                "mayBeGentoo": True,
            },
            [
                "Most likely species: gentoo",
                "Probability of adelie: 0.5 %",
                "Probability of chinstrap: 12.0 %",
                "Probability of gentoo: 87.5 %",
                "Whether it may be chinstrap: no",
                "Whether it may be gentoo: yes",
            ],
        ),
        (
            PRICES,
            {"expectedPrice": 12_000, "lower": 10_800.25, "upper": 13_200},
            ["Expected price: 12,000 USD", "Lower: 10,800.3 USD", "Upper: 13,200 USD"],
        ),
        # By a release whose answer has no interval.
        (PRICES, {"expectedPrice": 0.123}, ["Expected price: 0.123 USD"]),
    ],
    ids=["category", "number", "number alone"],
)
def test_every_column_of_an_answer_is_shown(
    browser: Browser, tmp_path: Path, question: Question, prediction: dict[str, Any], shown: list[str]
) -> None:
    with run_small_service(question.contract, prediction) as server:
        visit, said = _ask(browser, server, tmp_path, token=TOKEN)
    assert visit.console == ()
    assert all(text in said for text in shown), said
    assert "undefined" not in said
    assert ("Lower" in said) == ("lower" in prediction)


@needs_browser
def test_the_form_sends_what_is_filled_in(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    filled = {
        "scheduled_departure": "2013-07-01T08:05",
        "origin": "LGA",
        "carrier": "DL",
        "distance": "762.5",
        "temperature": "missing",
    }
    _, said = _ask(browser, server, tmp_path, token=TOKEN, **filled)
    assert "25.0 %" in said
    (row,) = server.bodies[0]["flights"]
    assert row["scheduledDeparture"].startswith("2013-07-01T08:05:00")
    assert (row["origin"], row["carrier"], row["distance"]) == ("LGA", "DL", 762.5)
    assert "temperature" not in row


@needs_browser
def test_violations_are_shown_beside_their_fields(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    visit, said = _ask(
        browser, server, tmp_path, token=TOKEN, distance="-1", carrier="ua", origin="EWR", destination=""
    )
    assert "Invalid request: values break the contract: " in said
    beside = [text for text in _Reader(visit.dom).texts if text.startswith(("distance ", "carrier ", "destination "))]
    assert [text.split(" ")[0] for text in beside] == ["carrier", "destination", "distance"]
    assert "distance -1.0 is not allowed (MINIMUM)" in said
    assert sum(attributes.get("aria-invalid") == "true" for _, attributes in _Reader(visit.dom).tags) == 3
    # The browser logs every status that is not a success, whatever the page does.
    assert all("400 (Bad Request)" in line for line in visit.console)


@needs_browser
def test_text_in_a_number_field_is_refused_without_a_request(
    browser: Browser, server: SmallService, tmp_path: Path
) -> None:
    def act(tab: Tab) -> None:
        tab.evaluate("document.getElementById('column-distance').select()")
        for key in "1e":
            tab.press(key, ord(key.upper()), key)
        tab.evaluate("document.querySelector('form').requestSubmit()")

    visit = browser.visit(server.address, tmp_path / "visit", act=act)
    assert "distance cannot be read as a number" in _Reader(visit.dom).texts
    assert server.bodies == []


@needs_browser
def test_a_missing_token_is_reported(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    _, said = _ask(browser, server, tmp_path)
    assert "Unauthenticated: there is no token." in said


@needs_browser
def test_an_overloaded_service_is_reported_with_the_time_to_wait(
    browser: Browser, server: SmallService, tmp_path: Path
) -> None:
    server.is_overloaded = True
    _, said = _ask(browser, server, tmp_path, token=TOKEN)
    assert "Ask again in 7 s." in said


@needs_browser
def test_an_unreachable_service_is_reported(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    server.is_gone = True
    _, said = _ask(browser, server, tmp_path, token=TOKEN)
    assert "The service cannot be reached." in said


@needs_browser
def test_the_keyboard_is_enough(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    """Tab reaches every field, and Enter sends."""
    reached: list[str] = []

    def act(tab: Tab) -> None:
        while "token" not in reached and len(reached) < 100:
            tab.press("Tab", 9)
            reached.append(tab.evaluate("document.activeElement.id"))
        for key in TOKEN:
            tab.press(key, ord(key.upper()), key)
        tab.press("Enter", 13, "\r")
        tab.wait_until(_SETTLED)

    visit = browser.visit(server.address, tmp_path / "visit", act=act)
    assert {f"column-{column.name}" for column in _CONTRACT.columns} < set(reached)
    assert "25.0 %" in visit.dom


@needs_browser
def test_the_examples_follow_the_form(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    visit, _ = _ask(browser, server, tmp_path, distance="762.5", carrier="O'")
    reader = _Reader(visit.dom)
    curl, python = (next(text for text in reader.texts if text.startswith(start)) for start in ("curl ", "import "))
    assert server.address.replace("/docs", "/v1/models/delays:predict") in curl
    assert '"distance":762.5' in curl
    assert "O'\\''" in curl
    assert '"distance":762.5' in python
    compile(python, "example", "exec")


@needs_browser
def test_the_gate_reveals_nothing_and_opens_with_a_token(
    browser: Browser, server: SmallService, tmp_path: Path
) -> None:
    server.is_gated = True
    heading = "document.querySelector('h1').textContent"
    seen: list[Any] = []

    def act(tab: Tab) -> None:
        seen.append(tab.evaluate(heading))
        _submit(tab, token="unknown")  # noqa: S106
        seen.append(tab.evaluate("document.querySelector('.error').textContent"))
        tab.evaluate(
            "document.getElementById('token').value = 'a-token'; document.querySelector('form').requestSubmit()"
        )
        tab.wait_until("document.getElementById('predict')")
        seen.append(tab.evaluate(heading))
        _submit(tab)

    visit = browser.visit(server.address, tmp_path / "visit", act=act)
    assert seen == [
        "Documentation of a service",
        "This token is unknown, or does not permit reading the documentation.",
        "delays",
    ]
    assert "25.0 %" in visit.dom
    assert visit.console == ()
    assert TOKEN not in visit.dom


def test_the_gate_holds_nothing_of_the_contract() -> None:
    gate = render_gate()
    assert not any(word in gate for word in ("flight", "carrier", "1.2.3", _CONTRACT.fingerprint))


def test_every_column_is_in_the_table_and_the_form() -> None:
    reader = _Reader(_page())
    inputs = {attributes.get("id"): attributes for _, attributes in reader.tags}
    for column in _CONTRACT.columns:
        assert column.description in reader.texts
        assert f"column-{column.name}" in inputs
        assert column.name in reader.texts
    distance = inputs["column-distance"]
    assert [distance[name] for name in ("type", "min", "max", "step", "aria-required")] == [
        "number",
        "1",
        "6000",
        "any",
        "true",
    ]
    assert inputs["column-flight_number"]["step"] == "1"
    assert inputs["column-scheduled_departure"]["type"] == "datetime-local"
    boxes = [attributes for _, attributes in reader.tags if attributes.get("type") == "checkbox"]
    assert len(boxes) == sum(column.may_be_missing for column in _CONTRACT.columns)


def test_the_columns_of_an_answer_are_listed() -> None:
    texts = _Reader(_page(PRICES.contract)).texts
    for column in PRICES.contract.answer:
        assert column.name in texts
        assert column.description in texts
    assert "USD" in texts


def _poison(toy: Toy) -> None:
    for name in ("amount", "color", "probability"):
        toy.column(name).description = _MARKUP
    toy.column("amount").unit = _MARKUP
    toy.column("code").pattern = '<b>"|[A-Z]'
    toy.column("code").example = '<b>"'
    toy.column("color").categories[0] = _MARKUP


def test_words_of_a_contract_never_become_markup() -> None:
    toy = Toy()
    clean = _Reader(_page(toy.read()))
    _poison(toy)
    poisoned = _Reader(_page(toy.read()))
    assert [tag for tag, _ in poisoned.tags] == [tag for tag, _ in clean.tags]
    assert [sorted(attributes) for _, attributes in poisoned.tags] == [
        sorted(attributes) for _, attributes in clean.tags
    ]
    assert _MARKUP in poisoned.texts


def test_the_examples_without_scripts_quote_the_request() -> None:
    toy = Toy()
    _poison(toy)
    contract = toy.read()
    texts = _Reader(_page(contract)).texts
    curl, python = (next(text for text in texts if text.startswith(start)) for start in ("curl ", "import "))
    assert json.loads(shlex.split(curl)[-1]) == make_example_request(contract)
    assert f'r"""{json.dumps(make_example_request(contract))}"""' in python


@needs_browser
def test_a_poisoned_page_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    toy = Toy()
    _poison(toy)
    page = tmp_path / "page.html"
    page.write_text(_page(toy.read()), "utf-8")
    visit = browser.visit(page, tmp_path / "visit", width=400)
    assert (visit.console, _list_requests(visit), visit.width) == ((), (page.as_uri(),), 400)


@needs_browser
@pytest.mark.parametrize(
    "added", ["<script>alert(1)</script>", "<p style='color: red'>", "<img src='http://127.0.0.1:1/x'>"]
)
def test_the_policy_stops_injected_markup(browser: Browser, added: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(_page().replace("</main>", f"{added}</main>"), "utf-8")
    visit = browser.visit(page, tmp_path / "visit")
    assert any("Content Security Policy" in line for line in visit.console)
