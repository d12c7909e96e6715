"""The OpenAPI document of a service: its REST endpoints, completed with what the contract says."""

import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Final, TypeAlias

import yaml

from athanor.contract.contract import Contract
from athanor.contract.validation import Rule
from athanor.serving.docs.column_schemas import build_prediction_schema, build_row_schema, make_example_row
from athanor.serving.docs.tensor_schemas import build_output_schemas, build_tensor_schemas, make_example_inference
from athanor.version import VERSION

Json: TypeAlias = dict[str, Any]

_RULES: Final = ", ".join(rule.value for rule in Rule)


@dataclass(frozen=True)
class DescribedModel:
    """A model, as its documentation describes it.

    Attributes:
        versions: semantic versions that answer now, oldest first.
    """

    contract: Contract
    versions: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.contract.name


@functools.lru_cache(maxsize=4)
def render_openapi(models: tuple[DescribedModel, ...], max_rows: int) -> bytes:
    """The document of one model, or one document of all, as JSON. Call it in a thread: fifty models take 100 ms."""
    document = build_openapi(models[0], max_rows) if len(models) == 1 else merge_openapi(models, max_rows)
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def build_openapi(model: DescribedModel, max_rows: int) -> Json:
    """The document of a model, OpenAPI 3.1, as JSON values.

    Args:
        max_rows: most rows in one request.
    """
    document: Json = _fill(_read_template(), _describe(model, max_rows) | {"path": "{model}", "of": ""})
    return document


def merge_openapi(models: Sequence[DescribedModel], max_rows: int) -> Json:
    """One document of several models, or of none yet. Each has paths, operations and schemas of its own.

    Args:
        max_rows: as of `build_openapi`.
    """
    service, each = _split_template()
    document: Json = _fill(service, {"rules": _RULES})
    document["info"] = {
        "title": "Models",
        "version": VERSION,
        "description": f"A request has 1 to {max_rows} rows of one model; each is predicted independently.",
        "x-contract-fingerprints": {model.name: model.contract.fingerprint for model in models},
    }
    for model in models:
        part = _fill(each, _describe(model, max_rows) | _qualify(model))
        _settle(part, model.name)
        document["paths"] |= part["paths"]
        for kind, components in part["components"].items():
            document["components"][kind] |= components
        document["tags"].append({"name": model.name, "description": model.contract.prediction.description})
    return document


def _qualify(model: DescribedModel) -> Json:
    """Its names in a document that has other models."""
    contract = model.contract
    messages = {
        "row_name": contract.row,
        "request_name": contract.predict.input_type,
        "response_name": contract.predict.output_type,
    }
    # No other model has this package. A message of another one may be in several contracts, and differ.
    package = f"{contract.service.file.package}."
    names = {
        name: message.full_name if message.full_name.startswith(package) else f"{model.name}.{message.full_name}"
        for name, message in messages.items()
    }
    return {**names, "path": model.name, "of": f"{model.name}."}


def _settle(part: Json, name: str) -> None:
    """Takes the model out of the parameters of paths that name it, and sorts their operations by model."""
    del part["components"]["parameters"][f"{name}.model"]
    parameter = {"$ref": f"#/components/parameters/{name}.model"}
    for item in part["paths"].values():
        item["parameters"] = [given for given in item["parameters"] if given != parameter]
        for operation in item.values():
            if isinstance(operation, dict):
                operation["tags"] = [name]


def _describe(model: DescribedModel, max_rows: int) -> Json:
    """What the template's names stand for."""
    contract, versions, prediction = model.contract, model.versions, model.contract.prediction
    version_enum = {"enum": list(versions)} if versions else {}
    row, request, response = contract.row, contract.predict.input_type, contract.predict.output_type
    return {
        "model": contract.name,
        "version": versions[0] if versions else "0.0.0",
        "version_schema": {"type": "string", **version_enum},
        "request_versions": ["", *versions],
        "fingerprint": contract.fingerprint,
        "max_rows": max_rows,
        "column_count": len(contract.columns),
        "rules": _RULES,
        "row": row.full_name,
        "row_name": row.full_name,
        "row_schema": build_row_schema(contract),
        "request": request.full_name,
        "request_name": request.full_name,
        "rows": contract.rows_field.json_name,
        "response": response.full_name,
        "response_name": response.full_name,
        "predictions": contract.predictions_field.json_name,
        "prediction": prediction.name,
        "prediction_schema": build_prediction_schema(contract),
        "meaning": prediction.description,
        "tensors": build_tensor_schemas(contract, max_rows),
        "outputs": [column.name for column in contract.answer],
        "output_tensors": build_output_schemas(contract),
        "example_request": make_example_request(contract),
        "example_inference": make_example_inference(contract),
    }


def make_example_request(contract: Contract) -> Json:
    """A request of one row, as protobuf JSON."""
    return {contract.rows_field.json_name: [make_example_row(contract)]}


@functools.cache
def _read_template() -> Any:
    """The document with a `$name` for each value to fill in. Parsing it costs more than filling it in: do so once."""
    text = importlib.resources.files(__package__).joinpath("openapi.yaml").read_text("utf-8")
    # libyaml takes 10 ms, the loader in Python 90 ms, and a replica answers no request meanwhile.
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe


@functools.cache
def _split_template() -> tuple[Json, Json]:
    """The template without models, and the paths and components that each model has: those with a `$` in their key."""
    template = _read_template()
    kinds = {"paths": template["paths"], **template["components"]}
    parts = []
    for is_model_s in (False, True):
        part = {
            kind: {name: each for name, each in items.items() if ("$" in name) == is_model_s}
            for kind, items in kinds.items()
        }
        parts.append({"paths": part.pop("paths"), "components": part})
    return {**template, "info": {}, **parts[0]}, parts[1]


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
