"""The pages of a service: its models, one of them, and the gate that asks for a token. Each is one HTML file."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final

from athanor.contract.columns import Column, Kind, Role
from athanor.contract.contract import Contract
from athanor.pages import rendering
from athanor.serving.docs.column_schemas import answer_json_name, json_name, make_example_value
from athanor.serving.docs.openapi import DescribedModel, build_openapi, make_example_request

_PACKAGE: Final = "athanor.serving.docs.page"
_ORIGIN: Final = {
    "Version": "semanticVersion",
    "Variant": "variant",
    "Digest": "releaseDigest",
    "Request": "requestId",
}
# Shown where scripts are off; the script shows the page's own address.
_SOME_ORIGIN: Final = "http://127.0.0.1:8000"


def render_page(model: DescribedModel, max_rows: int, has_others: bool = False) -> str:
    """The page of a model for people: what it predicts from which columns, with a form that sends a row.

    Args:
        max_rows: most rows in one request.
        has_others: whether the service has other models, so that the page leads to their list.
    """
    contract = model.contract
    return _render(
        "model.html.jinja",
        model=model.name,
        versions=model.versions,
        max_rows=max_rows,
        row=contract.row.full_name,
        fingerprint=contract.fingerprint,
        fields=[_describe_field(contract, column) for column in contract.columns],
        paths=build_openapi(DescribedModel(contract, ()), 1)["paths"],
        origin=_SOME_ORIGIN,
        body=json.dumps(make_example_request(contract)),
        service=_describe_service(contract),
        has_others=has_others,
    )


def render_models(service: str, models: Sequence[DescribedModel], failures: Mapping[str, str], max_rows: int) -> str:
    """The page that lists the models of a service.

    Args:
        service: its name.
        failures: why a model, or a release of it, cannot be loaded, by the model's name.
        max_rows: most rows in one request.
    """
    return _render(
        "models.html.jinja",
        service=service,
        models=[_describe_model(model) for model in models],
        failures=failures,
        max_rows=max_rows,
    )


@functools.cache
def render_gate() -> str:
    """The page for a browser without a token: it asks for one, and reveals nothing of the service.

    A browser cannot send a token when it opens an address. The gate requests the same address with the token, shows the
    page in its own place, and keeps the token in memory.
    """
    return _render("gate.html.jinja")


def _render(template: str, **values: Any) -> str:
    return rendering.render_page(_PACKAGE, template, {"sha256": _sha256}, **values)


def _sha256(content: str) -> str:
    """The source expression that allows an inline style or script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _describe_model(model: DescribedModel) -> Mapping[str, Any]:
    """A model in the list."""
    contract = model.contract
    return {
        "name": model.name,
        "versions": model.versions,
        "meaning": contract.prediction.description,
        "columns": len(contract.columns),
        "method": f"{contract.service.full_name}/{contract.predict.name}",
    }


def _describe_service(contract: Contract) -> Mapping[str, Any]:
    """What the script needs to know."""
    return {
        "path": f"/v1/models/{contract.name}:predict",
        "rows": contract.rows_field.json_name,
        "rowsName": contract.rows_field.name,
        "predictions": contract.predictions_field.json_name,
        # The prediction first: the page shows it largest.
        "answer": [_describe_answer(contract, column) for column in sorted(contract.answer, key=_is_beside)],
        "origin": _ORIGIN,
    }


def _is_beside(column: Column) -> bool:
    return Role.PREDICTION not in column.roles


def _describe_answer(contract: Contract, column: Column) -> Mapping[str, Any]:
    """A column of the answer in the outcome of the form and in the table."""
    return {
        "name": column.name,
        "json_name": answer_json_name(contract, column),
        "description": column.description,
        "unit": column.unit,
        "allowed": replace(column, unit="").allowed,
        "is_share": column.kind is Kind.NUMBER and (column.minimum, column.maximum) == (0, 1),
    }


def _describe_field(contract: Contract, column: Column) -> Mapping[str, Any]:
    """A column in the form and in the table."""
    return {
        "name": column.name,
        "json_name": json_name(contract, column),
        "kind": column.kind.value,
        "description": column.description,
        "unit": column.unit,
        "allowed": replace(column, unit="").allowed,
        "hint": "UTC" if column.kind is Kind.TIMESTAMP else column.allowed,
        "may_be_missing": column.may_be_missing,
        "choices": ("true", "false") if column.kind is Kind.BOOLEAN else column.categories,
        **_describe_input(column),
    }


def _describe_input(column: Column) -> Mapping[str, Any]:
    """The example in a form field, and the attributes of its `<input>`."""
    example = make_example_value(column)
    match column.kind:
        case Kind.TEXT:
            return {"value": example or "", "attributes": {"type": "text", "spellcheck": "false"}}
        case Kind.BOOLEAN:
            return {"value": json.dumps(example)}
        case Kind.TIMESTAMP:
            return {"value": example.removesuffix("Z"), "attributes": {"type": "datetime-local", "step": "1"}}
    step = "1" if column.kind is Kind.INTEGER else "any"
    bounds = dict(zip(("min", "max"), column.decimal_bounds, strict=True))
    digits = ".17g" if column.is_32_bit else ".15g"
    limits = {name: format(bound, digits) for name, bound in bounds.items() if abs(bound) < inf}
    return {"value": f"{example:.15g}", "attributes": {"type": "number", "step": step, **limits}}
