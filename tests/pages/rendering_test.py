"""A layer's own templates come before the shared ones, and anything missing is an error."""

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
    """A layer with a page of its own, under another name in each test: compiled templates are kept."""
    folder = tmp_path / tmp_path.name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html.jinja").write_text(_PAGE)
    (folder / "own.css").write_text("p { color: red; }")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_a_page_is_made_from_its_own_templates_and_the_shared_ones(package: str) -> None:
    page = render_page(package, "page.html.jinja", {"loud": str.upper}, text="<b>\0", rows=1_000, more="\n")
    assert r"<p>&lt;B&gt;\x00 1,000 \n</p>" in page
    assert "<title>a page</title>" in page
    assert "p { color: red; }" in page
    assert "--paper: #" in page


def test_a_template_of_the_layer_replaces_the_shared_one(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "base.css").write_text("p { color: blue; }")
    page = render_page(package, "page.html.jinja", {"loud": str.upper}, text="", rows=1, more="")
    assert "p { color: blue; }" in page
    assert "--paper" not in page


def test_the_policy_of_a_page_sees_its_whole_style(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "strict.html.jinja").write_text(
        f"{_PAGE}{{% block policy %}}style-src {{{{ style | length }}}}{{% endblock %}}"
    )
    page = render_page(package, "strict.html.jinja", {"loud": str.upper}, text="", rows=1, more="")
    style = page.split("<style>")[1].split("</style>")[0]
    assert f'content="style-src {len(style)}"' in page


def test_compiled_templates_are_kept(package: str, tmp_path: Path) -> None:
    first = render_page(package, "page.html.jinja", {"loud": str.upper}, text="", rows=1, more="")
    (tmp_path / package / "page.html.jinja").unlink()
    assert render_page(package, "page.html.jinja", {"loud": str.upper}, text="", rows=1, more="") == first


def test_a_missing_value_is_an_error(package: str) -> None:
    with pytest.raises(UndefinedError, match="'more' is undefined"):
        render_page(package, "page.html.jinja", {"loud": str.upper}, text="", rows=1)


def test_a_page_without_a_body_is_an_error() -> None:
    with pytest.raises(TemplateRuntimeError, match="Required block"):
        render_page(_SHARED, "base.html.jinja", {})


def test_a_missing_template_is_an_error(package: str) -> None:
    with pytest.raises(TemplateNotFound, match=r"absent\.html"):
        render_page(package, "absent.html", {})
