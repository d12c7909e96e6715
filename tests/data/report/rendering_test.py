"""Templates of a layer are found before those that all pages share, and nothing is left out silently."""

import pytest
from jinja2 import TemplateNotFound, TemplateRuntimeError, UndefinedError

from athanor.data.report.rendering import render_page


@pytest.mark.parametrize(
    ("package", "template"),
    [("athanor.data.report", "report.html.jinja"), ("athanor.training.card", "card.html.jinja")],
)
def test_a_value_that_is_not_given_is_an_error(package: str, template: str) -> None:
    filters = dict.fromkeys(("mean", "metric", "metric_name", "parameters", "percent", "range", "time"), str)
    with pytest.raises(UndefinedError):
        render_page(package, template, filters)


def test_a_page_without_a_body_is_an_error() -> None:
    with pytest.raises(TemplateRuntimeError, match="Required block"):
        render_page("athanor.data.report", "base.html.jinja", {})


def test_what_all_pages_share_is_found_from_another_layer() -> None:
    assert render_page("athanor.training.card", "base.css", {}) == render_page("athanor.data.report", "base.css", {})


def test_a_template_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(TemplateNotFound, match=r"absent\.html"):
        render_page("athanor.training.card", "absent.html", {})
