"""HTML pages from templates. Each is one file with everything in it: no font, and nothing from elsewhere.

A page is `base.html.jinja` with a body of its own, and `base.css` with a style of its own.
"""

import functools
import importlib.resources
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from athanor.pages import wording
from athanor.system.printable import printable

_SHARED: Final = "athanor.pages"


def render_page(package: str, template: str, filters: Mapping[str, Callable[..., str]], **values: Any) -> str:
    """The page as HTML. All text is escaped, and invisible characters are shown as escapes.

    Args:
        package: of the template and its includes. Those that it lacks are taken from this module's package.
        filters: for the template, in addition to `count`, `number` and `share` of `wording`.
        values: for the template.
    """
    environment = _make_environment(package, tuple(filters.items()))
    return environment.get_template(template).render(**values)


@functools.lru_cache(maxsize=8)
def _make_environment(package: str, filters: tuple[tuple[str, Callable[..., str]], ...]) -> Environment:
    """Keeps its compiled templates: compiling a page takes some 50 ms, rendering it 5 ms."""
    environment = Environment(
        loader=FunctionLoader(lambda name: _read_resource(package, name) or _read_resource(_SHARED, name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(count=wording.count, number=wording.number, share=wording.share, **dict(filters))
    return environment


def _read_resource(package: str, name: str) -> str | None:
    found = importlib.resources.files(package).joinpath(name)
    return found.read_text("utf-8") if found.is_file() else None


def _finalize(value: Any) -> Any:
    """Leaves Markup as it is, charts above all."""
    return printable(value) if type(value) is str else value
