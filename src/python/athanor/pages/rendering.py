"""Pages from templates: one HTML file each, with all that it needs in it: no script, no font, nothing from elsewhere.

A page is `base.html.jinja` with a body of its own, and `base.css` with a style of its own.
"""

import importlib.resources
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from athanor.pages import wording

_SHARED: Final = "athanor.pages"


def render_page(package: str, template: str, filters: Mapping[str, Callable[..., str]], **values: Any) -> str:
    """The page as HTML. All text is escaped, and characters that cannot be seen are shown as escapes.

    Args:
        package: where the template lies, and what it includes; what is not there is looked for beside this module.
        filters: for the template, beside `count`, `number` and `share` of `wording`.
        values: what the template shows.
    """
    environment = Environment(
        loader=FunctionLoader(lambda name: _read_resource(package, name) or _read_resource(_SHARED, name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(count=wording.count, number=wording.number, share=wording.share, **filters)
    return environment.get_template(template).render(**values)


def _read_resource(package: str, name: str) -> str | None:
    found = importlib.resources.files(package).joinpath(name)
    return found.read_text("utf-8") if found.is_file() else None


def _finalize(value: Any) -> Any:
    """What is Markup already, charts above all, is not touched."""
    return wording.printable(value) if type(value) is str else value
