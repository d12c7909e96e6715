"""One OpenAPI document of several models: valid, complete, and for each model as the document of it alone."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.documents import CONTRACTS, FLIGHTS, MAX_ROWS, VERSIONS
from support.wires import next_major

from athanor.serving.docs.openapi import DescribedModel, build_openapi, merge_openapi, render_openapi

_NEXT: Final = next_major()
_MODELS: Final = (
    DescribedModel(FLIGHTS, VERSIONS),
    DescribedModel(_NEXT, ("2.0.0",)),
    DescribedModel(CONTRACTS["toy"], ("7.0.0",)),
)
_DOCUMENT: Final = merge_openapi(_MODELS, MAX_ROWS)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation."""
    for path, item in document["paths"].items():
        yield from ((path, method, each) for method, each in item.items() if method != "parameters")


def _name_operations(document: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(path, method, operation["operationId"]) for path, method, operation in _operations(document)}


@pytest.mark.parametrize("models", [_MODELS, _MODELS[:2], ()], ids=["three", "two majors", "none"])
def test_the_document_is_valid_openapi(models: tuple[DescribedModel, ...]) -> None:
    document = json.loads(render_openapi(models, MAX_ROWS))
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_a_model_s_own_document_is_the_one_of_a_service_with_one_model() -> None:
    assert json.loads(render_openapi(_MODELS[:1], MAX_ROWS)) == build_openapi(_MODELS[0], MAX_ROWS)
    assert render_openapi(_MODELS[:1], MAX_ROWS) is render_openapi(_MODELS[:1], MAX_ROWS)


def test_every_operation_of_each_model_is_there_and_named_apart() -> None:
    alone = _name_operations(build_openapi(_MODELS[0], MAX_ROWS))
    own = {each for each in alone if each[0].startswith(("/v1/models/{model}", "/v2/models/{model}"))}
    of_models = {
        (path.replace("{model}", model.name), method, f"{model.name}.{operation}")
        for model in _MODELS
        for path, method, operation in own
    }
    assert _name_operations(_DOCUMENT) == (alone - own) | of_models
    assert "/v1/models/delays.v2:predict" in _DOCUMENT["paths"]


def test_operations_are_sorted_by_model() -> None:
    tags = {path: operation["tags"] for path, _, operation in _operations(_DOCUMENT)}
    assert tags["/v2/models/delays.v2/versions/{version}/infer"] == ["delays.v2"]
    assert tags["/v2/models/toy"] == ["toy"]
    assert tags["/v2"] == ["inference"]
    assert {"toy", "delays.v2", "service"} <= {tag["name"] for tag in _DOCUMENT["tags"]}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == "$ref")
    if isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _references(each)


def test_every_reference_and_every_component_is_used() -> None:
    known = {f"#/components/{kind}/{name}" for kind, items in _DOCUMENT["components"].items() for name in items}
    assert known - set(_references(_DOCUMENT)) == {"#/components/securitySchemes/bearer"}
    assert set(_references(_DOCUMENT)) <= known


def test_the_parameters_in_a_path_are_those_that_it_declares() -> None:
    parameters = _DOCUMENT["components"]["parameters"]
    for path, item in _DOCUMENT["paths"].items():
        given = [parameters[each["$ref"].rpartition("/")[2]] for each in item.get("parameters", ())]
        assert {each["name"] for each in given if each["in"] == "path"} == set(re.findall(r"{(\w+)}", path)), path
    assert parameters["delays.version"]["schema"]["enum"] == list(VERSIONS)
    assert parameters["toy.version"]["schema"]["enum"] == ["7.0.0"]


def _is_valid(name: str, value: Any) -> bool:
    schema = {**_DOCUMENT, "$ref": f"#/components/schemas/{name}"}
    return bool(OAS31Validator(schema, format_checker=oas31_format_checker).is_valid(value))


@pytest.mark.parametrize("end", ["v1.PredictRequest", "InferRequest"])
def test_each_model_has_schemas_of_its_own(end: str) -> None:
    schemas = _DOCUMENT["components"]["schemas"]
    for model, other in (("delays", "toy"), ("toy", "delays")):
        (example,) = schemas[f"{model}.{end}"]["examples"]
        assert _is_valid(f"{model}.{end}", example)
        assert not _is_valid(f"{other}.{end}", example)


def test_a_message_of_another_package_is_named_by_its_model() -> None:
    """Two releases may hold it in two states."""
    other = DescribedModel(replace(FLIGHTS, name="other", predict=CONTRACTS["toy"].predict), VERSIONS)
    schemas = merge_openapi((other,), MAX_ROWS)["components"]["schemas"]
    assert "other.delays.v1.Flight" in schemas
    assert "toy.v1.PredictRequest" in schemas


def test_fingerprints_are_those_of_the_models() -> None:
    assert _DOCUMENT["info"]["x-contract-fingerprints"] == {
        "delays": FLIGHTS.fingerprint,
        "delays.v2": _NEXT.fingerprint,
        "toy": CONTRACTS["toy"].fingerprint,
    }
