"""The page of a service, and the one that asks for a token first: one HTML file each, with all that it needs in it."""

import base64
import hashlib
import html
import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import replace
from string import Template
from typing import Any, Final

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract, message_of
from athanor.serving.docs.column_schemas import json_name, make_example_value
from athanor.serving.docs.openapi import build_openapi, make_example_request

_ORIGIN: Final = {
    "Version": "semanticVersion",
    "Variant": "variant",
    "Digest": "releaseDigest",
    "Request": "requestId",
}
# Where the page is read without scripts; those put its own address there.
_SOME_ORIGIN: Final = "http://127.0.0.1:8000"
_CURL: Final = """\
curl --fail-with-body '{origin}PATH' \\
  --header "authorization: Bearer $ATHANOR_TOKEN" \\
  --header 'content-type: application/json' \\
  --data-raw '{body}'"""
_PYTHON: Final = '''\
import json
import os
import urllib.request

request = urllib.request.Request(
    "{origin}PATH",
    data=r"""{body}""".encode(),
    headers={
        "authorization": f"Bearer {os.environ['ATHANOR_TOKEN']}",
        "content-type": "application/json",
    },
)
with urllib.request.urlopen(request) as response:
    print(json.load(response))'''


def render_page(contract: Contract, semantic_versions: Sequence[str], max_rows: int) -> str:
    """The page that tells people what a service predicts from what, with a form that asks it.

    All text is escaped, and characters that cannot be seen are shown as escapes.

    Args:
        semantic_versions: those that answer now.
        max_rows: most rows in one request.
    """
    path = f"/v1/models/{contract.name}:predict"
    body = json.dumps(make_example_request(contract))
    templates = {name: text.replace("PATH", path) for name, text in (("curl", _CURL), ("python", _PYTHON))}
    quoted = {"curl": body.replace("'", "'\\''"), "python": body}
    examples = {
        name: text.replace("{origin}", _SOME_ORIGIN).replace("{body}", quoted[name]) for name, text in templates.items()
    }
    content = _fill(
        "service.html",
        model=_text(contract.name),
        prediction=_text(contract.prediction.description),
        versions=_text(", ".join(semantic_versions) or "none"),
        max_rows=f"{max_rows:,}",
        row=_text(contract.row.full_name),
        fingerprint=contract.fingerprint,
        fields="\n".join(_field(contract, column) for column in contract.columns),
        columns="\n".join(map(_column_row, contract.columns)),
        endpoints="\n".join(_endpoint_rows(contract)),
        curl=_text(examples["curl"]),
        python=_text(examples["python"]),
        curl_template=_text(templates["curl"]),
        python_template=_text(templates["python"]),
        service=_data(_describe_service(contract, path)),
    )
    return _page(f"Model {contract.name}", content, "page.js")


def render_gate() -> str:
    """The page for whoever opens `/docs` without a token: it asks for one, shows `/docs` with it, and tells nothing.

    It is the answer to a browser, which cannot send a token when it opens an address. It keeps the token in memory.
    """
    return _page("Documentation of a service", _read("gate.html"), "gate.js")


def _describe_service(contract: Contract, path: str) -> dict[str, Any]:
    """What the script needs to know."""
    prediction = message_of(contract.predictions_field).fields_by_name[contract.prediction.name]
    return {
        "path": path,
        "rows": contract.rows_field.json_name,
        "rowsName": contract.rows_field.name,
        "predictions": contract.predictions_field.json_name,
        "prediction": prediction.json_name,
        "meaning": contract.prediction.description,
        "origin": _ORIGIN,
    }


def _page(title: str, body: str, script: str) -> str:
    style = _read("page.css")
    # The page takes the gate's place, and then both policies hold.
    scripts = " ".join(_hash(_read(name)) for name in ("gate.js", "page.js"))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(style)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _fill("page.html", policy=policy, title=_text(title), style=style, body=body, script=_read(script))


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _fill(template: str, **values: str) -> str:
    return Template(_read(template)).substitute(values)


def _read(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")


def _text(text: str) -> str:
    shown = (
        character if character.isprintable() or character == "\n" else character.encode("unicode_escape").decode()
        for character in text
    )
    return html.escape("".join(shown))


def _data(values: Any) -> str:
    """JSON that ends no script element, whatever is in it."""
    return json.dumps(values).replace("<", "\\u003c")


def _field(contract: Contract, column: Column) -> str:
    name = _text(column.name)
    missing = (
        f'<label class="missing"><input type="checkbox" aria-label="{name} is missing">missing</label>'
        if column.may_be_missing
        else ""
    )
    return (
        f'<div class="field" data-name="{name}" data-json-name="{_text(json_name(contract, column))}" '
        f'data-kind="{column.kind.value}">'
        f'<label for="column-{name}">{_text(column.description)}</label>'
        f'<div class="entry">{_input(column)}{missing}</div>'
        f'<p class="hint" id="hint-{name}"><span class="code">{name}</span>, {_hint(column)}</p>'
        f'<p class="violation" id="violation-{name}" hidden></p></div>'
    )


def _hint(column: Column) -> str:
    return "UTC" if column.kind is Kind.TIMESTAMP else _text(column.allowed)


def _input(column: Column) -> str:
    name = _text(column.name)
    shared = f'class="value" id="column-{name}" aria-describedby="hint-{name} violation-{name}"'
    if not column.may_be_missing:
        shared += ' aria-required="true"'
    value = make_example_value(column)
    if column.categories:
        return _select(shared, column.categories, value)
    match column.kind:
        case Kind.BOOLEAN:
            return _select(shared, ("true", "false"), "true")
        case Kind.TIMESTAMP:
            return f'<input {shared} type="datetime-local" step="1" value="{value.removesuffix("Z")}">'
        case Kind.TEXT:
            return f'<input {shared} type="text" spellcheck="false" value="{_text(value or "")}">'
    step = "1" if column.kind is Kind.INTEGER else "any"
    return f'<input {shared} type="number" step="{step}"{_bounds(column)} value="{value:.15g}">'


def _bounds(column: Column) -> str:
    bounds = {"min": column.minimum, "max": column.maximum}
    return "".join(f' {name}="{bound:.15g}"' for name, bound in bounds.items() if abs(bound) != float("inf"))


def _select(attributes: str, choices: Sequence[str], chosen: Any) -> str:
    options = (
        f'<option value="{_text(choice)}"{" selected" if choice == chosen else ""}>{_text(choice)}</option>'
        for choice in choices
    )
    return f"<select {attributes}>{''.join(options)}</select>"


def _column_row(column: Column) -> str:
    required = "may be missing" if column.may_be_missing else "required"
    cells = {
        "Meaning": column.description,
        "Unit": column.unit,
        "Allowed": replace(column, unit="").allowed,
        "Required": required,
    }
    return _table_row(column.name, cells)


def _endpoint_rows(contract: Contract) -> list[str]:
    paths = build_openapi(contract, (), 1)["paths"]
    return [
        _table_row(
            path,
            {
                "Method": method.upper(),
                "What for": operation["summary"],
                "Token": "needed" if operation["security"] else "not needed",
            },
        )
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def _table_row(head: str, cells: dict[str, str]) -> str:
    data = "".join(f'<td data-label="{_text(label)}">{_text(cell)}</td>' for label, cell in cells.items())
    return f'<tr><th scope="row" class="code">{_text(head)}</th>{data}</tr>'
