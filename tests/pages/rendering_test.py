"""Templates of a layer are found before those that all pages share, and nothing is left out silently."""

import sys
from pathlib import Path
from typing import Final

import pytest
from jinja2 import TemplateNotFound, TemplateRuntimeError, UndefinedError

from athanor.pages.rendering import render_page

_SHARED: Final = "athanor.pages"
_PAGE: Final = """{% extends "base.html.jinja" %}
{% block title %}a page{% endblock %}
{% block style %}{% include "own.css" %}{% endblock %}
{% block body %}<p>{{ text | loud }} {{ rows | count }} {{ more }}</p>{% endblock %}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Another layer's, with a page of its own."""
    folder = tmp_path / "a_layer_with_a_page"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html.jinja").write_text(_PAGE)
    (folder / "own.css").write_text("p { color: red; }")
    monkeypatch.syspath_prepend(tmp_path)
    # That of the test before lies elsewhere.
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    return folder.name


def test_a_page_is_made_from_the_templates_of_its_layer_and_of_all(package: str) -> None:
    page = render_page(package, "page.html.jinja", {"loud": str.upper}, text="<b>\0", rows=1_000, more="\n")
    assert r"<p>&lt;B&gt;\x00 1,000 \n</p>" in page
    assert "<title>a page</title>" in page
    assert "p { color: red; }" in page
    assert "--paper: #" in page


def test_what_a_layer_has_is_taken_before_what_all_share(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "base.css").write_text("p { color: blue; }")
    page = render_page(package, "page.html.jinja", {"loud": str.upper}, text="", rows=1, more="")
    assert "p { color: blue; }" in page
    assert "--paper" not in page


def test_a_value_that_is_not_given_is_an_error(package: str) -> None:
    with pytest.raises(UndefinedError, match="'more' is undefined"):
        render_page(package, "page.html.jinja", {"loud": str.upper}, text="", rows=1)


def test_a_page_without_a_body_is_an_error() -> None:
    with pytest.raises(TemplateRuntimeError, match="Required block"):
        render_page(_SHARED, "base.html.jinja", {})


def test_a_template_that_is_nowhere_is_an_error(package: str) -> None:
    with pytest.raises(TemplateNotFound, match=r"absent\.html"):
        render_page(package, "absent.html", {})
