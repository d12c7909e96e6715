"""The page that lists the models of a service, and the way from it to the page of a model and back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from support.browser import Browser, Tab, needs_browser, running_browser
from support.protos import Toy
from support.small_service import TOKEN, SmallService, run_small_service

from athanor.serving.docs.openapi import DescribedModel
from athanor.serving.docs.page.rendering import render_models, render_page
from projects.delays.model import MODEL

_MODELS: Final = (
    DescribedModel(MODEL.contract, ("1.2.3", "1.3.0")),
    DescribedModel(replace(MODEL.contract, name="delays.v2"), ("2.0.0",)),
    DescribedModel(Toy().read(), ("7.0.0",)),
)
_MARKUP: Final = "<script>console.error('it ran')</script>"
_HEADING: Final = "document.querySelector('h1').textContent"


def _list(models: tuple[DescribedModel, ...] = _MODELS, **failures: str) -> str:
    return render_models("models", models, failures, 10_000)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def server() -> Iterator[SmallService]:
    with run_small_service() as serving:
        pages = {f"/docs/{model.name}": render_page(model, 10_000, has_others=True) for model in _MODELS}
        serving.pages = {"/docs": _list(), **pages}
        yield serving


def test_each_model_is_listed_with_its_versions_and_its_method() -> None:
    page = _list()
    for model in _MODELS:
        assert f'<a href="/docs/{model.name}">{model.name}</a>' in page
        assert ", ".join(model.versions) in page
        assert model.contract.prediction.description in page
    assert "toy.v1.ToyService/Predict" in page


def test_a_service_without_models_says_how_to_get_one() -> None:
    assert "athanor registry promote NAME VERSION" in _list(())
    assert "athanor registry promote" not in _list()


def test_what_cannot_be_loaded_is_named_with_the_reason() -> None:
    assert "Failures" not in _list()
    page = _list(rain="the champion is corrupted")
    assert '<th scope="row" class="code">rain</th>' in page
    assert "the champion is corrupted" in page


def test_the_page_of_the_only_model_leads_to_no_list() -> None:
    assert 'href="/docs"' not in render_page(_MODELS[0], 10_000)
    assert 'href="/docs"' in render_page(_MODELS[0], 10_000, has_others=True)


@needs_browser
@pytest.mark.parametrize("width", [1200, 400])
def test_the_list_loads_without_complaints_and_fits(
    browser: Browser, width: int, server: SmallService, tmp_path: Path
) -> None:
    visit = browser.visit(server.address, tmp_path / "visit", width=width)
    assert visit.console == ()
    assert visit.requests == (server.address,)
    assert visit.width == width


@needs_browser
def test_words_of_a_contract_and_of_a_failure_never_become_markup(browser: Browser, tmp_path: Path) -> None:
    toy = Toy()
    toy.column("probability").description = _MARKUP
    page = tmp_path / "page.html"
    page.write_text(_list((DescribedModel(toy.read(), ("1.0.0",)),), rain=_MARKUP), "utf-8")
    visit = browser.visit(page, tmp_path / "visit")
    assert visit.console == ()
    assert page.read_text("utf-8").count("&lt;script&gt;") == 2


@needs_browser
def test_a_token_that_opened_the_list_opens_the_pages_of_models(
    browser: Browser, server: SmallService, tmp_path: Path
) -> None:
    server.is_gated = True
    seen: list[Any] = []

    def act(tab: Tab) -> None:
        tab.evaluate(f"document.getElementById('token').value = {TOKEN!r}; document.forms[0].requestSubmit()")
        tab.wait_until("document.getElementById('models-title')")
        tab.evaluate("document.querySelector(\"a[href='/docs/delays.v2']\").click()")
        tab.wait_until("document.getElementById('predict')")
        seen.append((tab.evaluate(_HEADING), tab.evaluate("location.pathname")))
        seen.append(tab.evaluate("document.getElementById('token').value"))
        tab.evaluate("document.querySelector(\"a[href='/docs']\").click()")
        tab.wait_until("document.getElementById('models-title')")
        seen.append((tab.evaluate(_HEADING), tab.evaluate("location.pathname")))

    visit = browser.visit(server.address, tmp_path / "visit", act=act)
    assert seen == [("delays.v2", "/docs/delays.v2"), TOKEN, ("models", "/docs")]
    assert visit.console == ()


@needs_browser
def test_the_gate_of_a_model_s_page_opens_that_page(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    server.is_gated = True

    def act(tab: Tab) -> None:
        tab.evaluate(f"document.getElementById('token').value = {TOKEN!r}; document.forms[0].requestSubmit()")
        tab.wait_until("document.getElementById('predict')")

    visit = browser.visit(f"{server.address}/toy", tmp_path / "visit", act=act)
    assert "/v1/models/toy:predict" in visit.dom


@needs_browser
def test_a_model_that_is_not_there_is_reported(browser: Browser, server: SmallService, tmp_path: Path) -> None:
    server.is_gated = True

    def act(tab: Tab) -> None:
        tab.evaluate(f"document.getElementById('token').value = {TOKEN!r}; document.forms[0].requestSubmit()")
        tab.wait_until("document.querySelector('.error')")

    visit = browser.visit(f"{server.address}/nothing", tmp_path / "visit", act=act)
    assert "there is no /docs/nothing" in visit.dom
