"""The OpenAPI document of a service: its REST endpoints, completed with what the contract says."""

import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, TypeAlias

import yaml

from athanor.contract.contract import Contract, message_of
from athanor.contract.validation import Rule
from athanor.serving.docs.column_schemas import build_row_schema, make_example_row
from athanor.serving.docs.tensor_schemas import build_tensor_schemas, make_example_inference

Json: TypeAlias = dict[str, Any]


def build_openapi(contract: Contract, semantic_versions: Sequence[str], max_rows: int) -> Json:
    """The document, OpenAPI 3.1, as JSON values.

    Args:
        semantic_versions: versions that answer now.
        max_rows: most rows in one request.
    """
    prediction = contract.prediction
    version_enum = {"enum": list(semantic_versions)} if semantic_versions else {}
    bounds = dict(zip(("minimum", "maximum"), prediction.decimal_bounds, strict=True))
    values = {
        "model": contract.name,
        "version": semantic_versions[0] if semantic_versions else "0.0.0",
        "version_schema": {"type": "string", **version_enum},
        "request_versions": ["", *semantic_versions],
        "fingerprint": contract.fingerprint,
        "max_rows": max_rows,
        "column_count": len(contract.columns),
        "rules": ", ".join(rule.value for rule in Rule),
        "row": contract.row.full_name,
        "row_schema": build_row_schema(contract),
        "request": contract.predict.input_type.full_name,
        "rows": contract.rows_field.json_name,
        "response": contract.predict.output_type.full_name,
        "predictions": contract.predictions_field.json_name,
        "prediction": prediction.name,
        "prediction_json": prediction_json_name(contract),
        "prediction_schema": {
            "type": "number",
            "description": prediction.description,
            **{name: bound for name, bound in bounds.items() if abs(bound) != float("inf")},
        },
        "meaning": prediction.description,
        "tensors": build_tensor_schemas(contract, max_rows),
        "example_request": make_example_request(contract),
        "example_inference": make_example_inference(contract),
    }
    document: Json = _fill(_read_template(), values)
    return document


def prediction_json_name(contract: Contract) -> str:
    """The name of the prediction in protobuf JSON."""
    return str(message_of(contract.predictions_field).fields_by_name[contract.prediction.name].json_name)


def make_example_request(contract: Contract) -> Json:
    """A request of one row, as protobuf JSON."""
    return {contract.rows_field.json_name: [make_example_row(contract)]}


@functools.cache
def _read_template() -> Any:
    """The document with a `$name` for each value to fill in. Parsing it costs more than filling it in: do so once."""
    text = importlib.resources.files(__package__).joinpath("openapi.yaml").read_text("utf-8")
    # libyaml takes 10 ms, the loader in Python 90 ms, and a replica answers no request meanwhile.
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


def _fill(node: Any, values: Mapping[str, Any]) -> Any:
    """A copy with the values filled in. A `$name` that stands alone takes any type, one inside a text becomes text."""
    match node:
        case dict():
            return {_fill_text(key, values): _fill(value, values) for key, value in node.items()}
        case list():
            return [_fill(value, values) for value in node]
        case str() if node.startswith("$") and node[1:] in values:
            return values[node[1:]]
        case str():
            return _fill_text(node, values)
    return node


def _fill_text(text: str, values: Mapping[str, Any]) -> str:
    # Safe: `$ref` and the end of a pattern stay as they are.
    return Template(text).safe_substitute(values)
