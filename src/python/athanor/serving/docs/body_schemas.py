"""What the REST doors take and give, as the component schemas of an OpenAPI document."""

from collections.abc import Sequence
from typing import Any, Final

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract, message_of
from athanor.contract.validation import Rule
from athanor.serving.docs.column_schemas import (
    INSTANT_PATTERN,
    build_column_schema,
    build_row_schema,
    make_example_row,
    make_example_value,
)
from athanor.serving.formats.tensors import datatype_of

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_DIGEST: Final[Json] = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Digest of the release."}
_VARIANT: Final[Json] = {
    "type": "string",
    "enum": ["champion", "challenger"],
    "description": "How what answered takes part in the traffic.",
}
_NUMERIC_DATATYPES: Final = ("FP64", "FP32", "INT32", "INT64", "UINT32")


def refer(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def build_schemas(contract: Contract, semantic_versions: Sequence[str], max_rows: int) -> dict[str, Json]:
    """All schemas by their names. Messages of the contract have their full names, which no other has."""
    method = contract.predict
    return {
        contract.row.full_name: build_row_schema(contract),
        method.input_type.full_name: _build_request(contract, semantic_versions, max_rows),
        method.output_type.full_name: _build_response(contract),
        "Features": _build_features(),
        "InferRequest": _build_infer_request(contract, max_rows),
        "InferResponse": _build_infer_response(contract),
        "ServerMetadata": _object(name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}),
        "ModelMetadata": _object(
            name=_TEXT,
            versions={"type": "array", "items": _TEXT, "description": "Semantic versions that answer."},
            platform=_TEXT,
            inputs={"type": "array", "items": refer("TensorMetadata")},
            outputs={"type": "array", "items": refer("TensorMetadata")},
        ),
        "TensorMetadata": _object(
            name=_TEXT,
            datatype=_TEXT,
            shape={"type": "array", "items": {"type": "integer"}, "description": "-1 for the number of rows."},
        ),
        "Problem": _build_problem(),
        "Violation": _object(
            field={**_TEXT, "description": "Path in the request, with names as in the .proto file."},
            rule={**_TEXT, "description": f"Stable code: {', '.join(rule.value for rule in Rule)} and others."},
            description={**_TEXT, "description": "What is wrong, with the value and what is allowed."},
        ),
    }


def make_example_request(contract: Contract) -> Json:
    """A request that is answered, as protobuf JSON."""
    return {contract.rows_field.json_name: [make_example_row(contract)]}


def make_example_inference(contract: Contract) -> Json:
    """The same request as tensors."""
    values = {column: make_example_value(column) for column in contract.columns}
    return {
        "inputs": [
            {
                "name": column.name,
                "datatype": "BYTES" if column.kind is Kind.TIMESTAMP else datatype_of(column),
                "shape": [1],
                "data": [value],
            }
            for column, value in values.items()
            if value is not None
        ]
    }


def _object(**properties: Json) -> Json:
    """An object whose properties are all there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _build_request(contract: Contract, semantic_versions: Sequence[str], max_rows: int) -> Json:
    rows = {"type": "array", "items": refer(contract.row.full_name), "minItems": 1, "maxItems": max_rows}
    versions = {"type": "string", "enum": ["", *semantic_versions]}
    return {
        "type": "object",
        "description": f"`{contract.predict.input_type.full_name}` in protobuf JSON.",
        "properties": {
            contract.rows_field.json_name: {**rows, "description": f"The rows, {max_rows} at most."},
            "modelName": {**_TEXT, "description": "Not looked at: the path names the model."},
            "semanticVersion": {**versions, "description": "Version to ask; whichever serves traffic when empty."},
        },
        "required": [contract.rows_field.json_name],
        "additionalProperties": False,
        "examples": [make_example_request(contract)],
    }


def _build_response(contract: Contract) -> Json:
    """Answers may get further fields: nothing is closed."""
    name = str(message_of(contract.predictions_field).fields_by_name[contract.prediction.name].json_name)
    value: Json = {"type": "number", "description": contract.prediction.description}
    bounds = {"minimum": contract.prediction.minimum, "maximum": contract.prediction.maximum}
    value |= {bound: limit for bound, limit in bounds.items() if abs(limit) != float("inf")}
    predictions = {"type": "array", "items": _object(**{name: value}), "description": "One for each row, in its order."}
    return {
        **_object(**{contract.predictions_field.json_name: predictions}, **_origin()),
        "description": f"`{contract.predict.output_type.full_name}` in protobuf JSON.",
    }


def _origin() -> dict[str, Json]:
    """What every typed answer says of what answered."""
    return {
        "modelName": {**_TEXT, "description": "Model that answered."},
        "semanticVersion": {**_TEXT, "description": "Its semantic version."},
        "releaseDigest": _DIGEST,
        "requestId": {**_TEXT, "description": "The caller's `x-request-id`, or one made by the server."},
        "variant": _VARIANT,
    }


def _build_features() -> Json:
    feature = {"type": ["number", "string", "null"], "description": "A number, a category, or null where missing."}
    features = {"type": "object", "additionalProperties": feature, "description": "By the name of the feature."}
    probability = {"type": "number", "minimum": 0, "maximum": 1, "description": "What Predict answers."}
    seen = _object(features=features, probability=probability)
    rows = {"type": "array", "items": seen, "description": "One for each row, in its order."}
    return {**_object(rows=rows, **_origin()), "description": "What the model sees of each row."}


def _build_infer_request(contract: Contract, max_rows: int) -> Json:
    tensors = {"oneOf": [_build_tensor(contract, column, max_rows) for column in contract.columns]}
    return {
        "type": "object",
        "description": (
            "Rows as one tensor for each column, all with the same number of values. "
            "A column without a tensor is missing in every row, which those that are required may not be."
        ),
        "properties": {
            "id": {**_TEXT, "description": "Comes back in the answer."},
            "parameters": {"type": "object", "description": "`binary_data_output` asks for the output as bytes."},
            "inputs": {"type": "array", "items": tensors, "minItems": 1, "maxItems": len(contract.columns)},
            "outputs": {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"const": contract.prediction.name}}},
                "description": f"All outputs when absent; there is one, `{contract.prediction.name}`.",
            },
        },
        "required": ["inputs"],
        "examples": [make_example_inference(contract)],
    }


def _build_tensor(contract: Contract, column: Column, max_rows: int) -> Json:
    datatypes, values = _tensor_values(contract, column)
    count = {"type": "integer", "minimum": 1, "maximum": max_rows}
    return {
        "type": "object",
        "title": column.name,
        "properties": {
            "name": {"const": column.name},
            "datatype": {"type": "string", "enum": list(datatypes)},
            "shape": {
                "type": "array",
                "prefixItems": [count, {"const": 1}],
                "minItems": 1,
                "maxItems": 2,
                "description": "[n] or [n, 1] for n rows.",
            },
            "data": {
                "type": "array",
                "items": values,
                "description": "n values, or absent where they follow as bytes.",
            },
            "parameters": {
                "type": "object",
                "description": "`binary_data_size`: bytes of this tensor behind the JSON.",
            },
        },
        "required": ["name", "datatype", "shape"],
    }


def _tensor_values(contract: Contract, column: Column) -> tuple[Sequence[str], Json]:
    """Datatypes and values of a column's tensor. A value is what protobuf JSON has, but for instants."""
    schema = build_column_schema(contract, column)
    del schema["description"]
    if column.kind is Kind.TEXT:
        return ("BYTES",), schema
    if column.kind is Kind.TIMESTAMP:
        instants = [{"type": "string", "format": "date-time", "pattern": INSTANT_PATTERN}]
        microseconds = {"type": "integer", "description": "Microseconds since 1970-01-01T00:00:00Z."}
        return ("INT64", "BYTES"), {"anyOf": [microseconds, *instants], "examples": schema["examples"]}
    if column.kind is Kind.BOOLEAN:
        schema["type"] = ["boolean", "number", *(["null"] if column.may_be_missing else [])]
        return ("BOOL", *_NUMERIC_DATATYPES), schema
    if "anyOf" in schema:
        schema["anyOf"] = [each for each in schema["anyOf"] if "const" not in each]
    return _NUMERIC_DATATYPES, schema


def _build_infer_response(contract: Contract) -> Json:
    output = _object(
        name={"const": contract.prediction.name},
        datatype={"const": "FP64"},
        shape={"type": "array", "items": {"type": "integer"}, "description": "[n] for n rows."},
    )
    output["properties"] |= {
        "data": {"type": "array", "items": {"type": "number"}, "description": contract.prediction.description},
        "parameters": {"type": "object"},
    }
    return _object(
        model_name=_TEXT,
        model_version={**_TEXT, "description": "Semantic version that answered."},
        id={**_TEXT, "description": "The request's, or one made by the server."},
        parameters=_object(release_digest=_DIGEST, variant=_VARIANT, request_id=_TEXT),
        outputs={"type": "array", "items": output},
    )


def _build_problem() -> Json:
    problem = _object(
        type={**_TEXT, "format": "uri-reference"},
        title=_TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599, "description": "That of HTTP."},
        detail={**_TEXT, "description": "What is wrong, where, and what would be right."},
        request_id=_TEXT,
    )
    problem["properties"] |= {
        "code": {**_TEXT, "description": "Stable, and for programs."},
        "violations": {"type": "array", "items": refer("Violation"), "description": "Every value that breaks a rule."},
        "error": {**_TEXT, "description": "Under `/v2`: the same as `detail`, where its clients look for it."},
    }
    return {**problem, "description": "Problem details, RFC 9457."}
