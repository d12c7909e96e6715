"""The OpenAPI document of a service: what its REST doors offer, from the contract alone."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from athanor.contract.contract import Contract
from athanor.serving.docs.body_schemas import build_schemas, make_example_inference, make_example_request, refer

Json: TypeAlias = dict[str, Any]

_PROBLEMS: Final = {
    "BadRequest": "The body is no request, or values break the contract; every one of them is named.",
    "Unauthenticated": "There is no token, or none that is known.",
    "PermissionDenied": "The token may not do this.",
    "NotFound": "Another model or version is asked for than is served.",
    "TooLarge": "There are more rows or bytes than one request may have.",
    "Overloaded": "The service holds as many requests as it may; ask again after `retry-after`.",
    "DeadlineExceeded": "The time was over before there was an answer.",
}
_STATUSES: Final = {
    "400": "BadRequest",
    "401": "Unauthenticated",
    "403": "PermissionDenied",
    "404": "NotFound",
    "413": "TooLarge",
    "429": "Overloaded",
    "504": "DeadlineExceeded",
}
_GUARDED: Final = ("401", "403")
_ANSWERING: Final = tuple(_STATUSES)
_HEADERS: Final = {
    "x-request-id": "The caller's, or one made by the server.",
    "x-athanor-version": "Semantic version that answered.",
    "x-athanor-digest": "Digest of the release that answered.",
    "x-athanor-variant": '"champion" or "challenger".',
}
_OPEN: Final[list[Json]] = []
_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"
_JSON_LENGTH: Final = "Inference-Header-Content-Length"


def build_openapi(contract: Contract, semantic_versions: Sequence[str], max_rows: int) -> Json:
    """The document, OpenAPI 3.1, as JSON values.

    Args:
        semantic_versions: those that answer now.
        max_rows: most rows in one request.
    """
    return {
        "openapi": "3.1.1",
        "info": {
            "title": f"Model {contract.name}",
            "version": semantic_versions[0] if semantic_versions else "0.0.0",
            "description": _describe(contract, max_rows),
            "x-contract-fingerprint": contract.fingerprint,
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [
            {"name": "predict", "description": "Protobuf JSON of the contract's own messages."},
            {"name": "inference", "description": "The Open Inference Protocol, version 2."},
            {"name": "service", "description": "Health, metrics and this documentation."},
        ],
        "paths": _typed_paths(contract) | _inference_paths(contract, semantic_versions) | _service_paths(),
        "components": {
            "schemas": build_schemas(contract, semantic_versions, max_rows),
            "responses": {name: _problem(name, description) for name, description in _PROBLEMS.items()},
            "headers": {
                name: {"description": description, "schema": {"type": "string"}}
                for name, description in _HEADERS.items()
            },
            "parameters": _parameters(contract, semantic_versions),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of this service."}
            },
        },
    }


def _describe(contract: Contract, max_rows: int) -> str:
    return (
        f"Predicts `{contract.prediction.name}` of `{contract.row.full_name}`: {contract.prediction.description}. "
        f"One request has 1 to {max_rows} rows; each is predicted by itself, in the order given."
    )


def _typed_paths(contract: Contract) -> Json:
    request, response = contract.predict.input_type.full_name, contract.predict.output_type.full_name
    body = _body(request, make_example_request(contract))
    return {
        "/v1/models/{model}:predict": {
            "parameters": [_parameter("model"), *_CALL_PARAMETERS],
            "post": _operation("predict", "predict", "Predict rows", _answer(response), _ANSWERING, body),
        },
        "/v1/models/{model}:features": {
            "parameters": [_parameter("model"), *_CALL_PARAMETERS],
            "post": _operation(
                "features", "predict", "See what the model sees of rows", _answer("Features"), _ANSWERING, body
            ),
        },
    }


def _inference_paths(contract: Contract, semantic_versions: Sequence[str]) -> Json:
    paths: Json = {
        "/v2": _get("serverMetadata", "inference", "What the server is", _content("ServerMetadata"), _GUARDED),
        "/v2/health/live": _get("serverLive", "inference", "Whether the server answers", _health(), is_open=True),
        "/v2/health/ready": _get("serverReady", "inference", "Whether it can predict", _health(True), is_open=True),
    }
    model, version = [_parameter("model")], [_parameter("model"), _parameter("version")]
    for prefix, suffix, parameters in (
        ("/v2/models/{model}", "", model),
        ("/v2/models/{model}/versions/{version}", "Version", version),
    ):
        paths[prefix] = _get(
            f"model{suffix}Metadata", "inference", "Inputs and outputs", _content("ModelMetadata"), (*_GUARDED, "404")
        )
        paths[f"{prefix}/ready"] = _get(
            f"model{suffix}Ready", "inference", "Whether it can predict", _health(True), (*_GUARDED, "404")
        )
        paths[f"{prefix}/infer"] = {"post": _infer(contract, f"model{suffix}Infer")}
        for path in (prefix, f"{prefix}/ready", f"{prefix}/infer"):
            paths[path]["parameters"] = parameters
        paths[f"{prefix}/infer"]["parameters"] = [*parameters, *_CALL_PARAMETERS, _parameter("jsonLength")]
    return paths


def _infer(contract: Contract, operation_id: str) -> Json:
    body = _body("InferRequest", make_example_inference(contract))
    answer = _answer("InferResponse")
    for content in (body["content"], answer["200"]["content"]):
        content[_BINARY] = {"schema": {"description": f"JSON of `{_JSON_LENGTH}` bytes, then the tensors' contents."}}
    answer["200"]["headers"][_JSON_LENGTH] = {
        "description": "Bytes of JSON before the binary output.",
        "schema": {"type": "string"},
    }
    return _operation(operation_id, "inference", "Predict rows", answer, _ANSWERING, body)


def _service_paths() -> Json:
    metrics = {"description": "Prometheus metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    page = {
        "description": "This documentation; without a token, a page that asks for one.",
        "content": {"text/html": {"schema": {"type": "string"}}},
    }
    document = {"description": "This document.", "content": {_JSON: {"schema": {"type": "object"}}}}
    return {
        "/livez": _get("livez", "service", "Whether the process lives", _health(), is_open=True),
        "/readyz": _get("readyz", "service", "Whether it can predict", _health(True), is_open=True),
        "/metrics": _get("metrics", "service", "Metrics", {"200": metrics}, _GUARDED),
        "/docs": _get("docs", "service", "Documentation for people", {"200": page}, is_open=True),
        "/openapi.json": _get("openapi", "service", "Documentation for programs", {"200": document}, _GUARDED),
    }


def _get(
    operation_id: str,
    tag: str,
    summary: str,
    responses: Json,
    problems: Sequence[str] = (),
    is_open: bool = False,
) -> Json:
    operation = _operation(operation_id, tag, summary, responses, problems)
    return {"get": operation | ({"security": _OPEN} if is_open else {})}


def _operation(
    operation_id: str, tag: str, summary: str, responses: Json, problems: Sequence[str], body: Json | None = None
) -> Json:
    refused = {status: {"$ref": f"#/components/responses/{_STATUSES[status]}"} for status in problems}
    operation = {"operationId": operation_id, "tags": [tag], "summary": summary, "responses": responses | refused}
    return operation | ({"requestBody": body} if body else {}) | {"security": [{"bearer": []}]}


def _body(schema: str, example: Json) -> Json:
    content = {"schema": refer(schema), "examples": {"row": {"summary": "One row", "value": example}}}
    return {"required": True, "content": {_JSON: content}}


def _answer(schema: str) -> Json:
    """The answer to rows: it says in its headers too what answered."""
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    answer: Json = _content(schema)
    answer["200"]["headers"] = headers
    return answer


def _content(schema: str) -> Json:
    return {"200": {"description": "The answer.", "content": {_JSON: {"schema": refer(schema)}}}}


def _health(may_be_unready: bool = False) -> Json:
    """What says yes or no by its status alone; the body may be anything."""
    yes = {"description": "Yes.", "content": {_JSON: {"schema": {"type": "object"}}}}
    return {"200": yes} | ({"503": {"description": "Not now."}} if may_be_unready else {})


def _problem(name: str, description: str) -> Json:
    headers: Json = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    if name == "Overloaded":
        seconds = {"type": "integer", "minimum": 0}
        headers["retry-after"] = {"description": "Seconds to wait.", "required": True, "schema": seconds}
    if name == "Unauthenticated":
        headers["www-authenticate"] = {"schema": {"type": "string"}}
    content = {"application/problem+json": {"schema": refer("Problem")}}
    return {"description": description, "headers": headers, "content": content}


def _parameters(contract: Contract, semantic_versions: Sequence[str]) -> Json:
    model = {"type": "string", "enum": [contract.name]}
    version = {"type": "string"} | ({"enum": list(semantic_versions)} if semantic_versions else {})
    return {
        "model": _path_parameter("model", "The model.", model),
        "version": _path_parameter("version", "Semantic version.", version),
        "requestId": _header_parameter(
            "x-request-id", "Comes back in the answer if it is of 1 to 128 visible characters of ASCII; else a new one."
        ),
        "stickyKey": _header_parameter("x-athanor-sticky-key", "Requests of one key are answered by one variant."),
        "timeout": _header_parameter(
            "x-request-timeout-s", "Seconds in which an answer is of use.", type="number", exclusiveMinimum=0
        ),
        "traceparent": _header_parameter("traceparent", "W3C trace context of the caller."),
        "jsonLength": _header_parameter(_JSON_LENGTH, "Bytes of JSON before binary tensors.", pattern="^[0-9]{1,12}$"),
    }


def _path_parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _header_parameter(name: str, description: str, **limits: Any) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **limits}}


def _parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


_CALL_PARAMETERS: Final = [_parameter(name) for name in ("requestId", "stickyKey", "timeout", "traceparent")]
