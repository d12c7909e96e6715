"""Columns of a contract as tensors of the Open Inference Protocol: their JSON Schemas, and an example request."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract
from athanor.serving.docs.column_schemas import build_answer_schema, build_column_schema, make_example_value
from athanor.serving.formats.tensors import datatype_of
from athanor.serving.formats.values import INSTANT_PATTERN

Json: TypeAlias = dict[str, Any]

_NUMERIC_DATATYPES: Final = ("FP64", "FP32", "INT32", "INT64", "UINT32")


def make_example_inference(contract: Contract) -> Json:
    """A request of one row, as tensors. Columns without an example are left out."""
    examples = ((column, make_example_value(column)) for column in contract.columns)
    return {
        "inputs": [
            {
                "name": column.name,
                "datatype": "BYTES" if column.kind is Kind.TIMESTAMP else datatype_of(column),
                "shape": [1],
                "data": [value],
            }
            for column, value in examples
            if value is not None
        ]
    }


def build_tensor_schemas(contract: Contract, max_rows: int) -> list[Json]:
    """One schema for the tensor of each column."""
    return [_build_tensor(column, max_rows) for column in contract.columns]


def build_output_schemas(contract: Contract) -> list[Json]:
    """One schema for the tensor of each column of the answer."""
    return [_build_output(column) for column in contract.answer]


def _build_output(column: Column) -> Json:
    values = build_answer_schema(column)
    description = values.pop("description")
    return {
        "type": "object",
        "title": column.name,
        "properties": {
            "name": {"const": column.name},
            "datatype": {"const": datatype_of(column)},
            "shape": {"type": "array", "items": {"type": "integer"}, "description": "[n] for n rows."},
            "data": {"type": "array", "items": values, "description": description},
            "parameters": {"type": "object"},
        },
        "required": ["name", "datatype", "shape"],
    }


def _build_tensor(column: Column, max_rows: int) -> Json:
    datatypes, values = _tensor_values(column)
    count = {"type": "integer", "minimum": 1, "maximum": max_rows}
    return {
        "type": "object",
        "title": column.name,
        "properties": {
            "name": {"const": column.name},
            "datatype": {"type": "string", "enum": list(datatypes)},
            "shape": {
                "type": "array",
                # Generators of clients know no `prefixItems`: theirs would take shapes of single rows only.
                "items": count,
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


def _tensor_values(column: Column) -> tuple[Sequence[str], Json]:
    """Datatypes and values of a column's tensor. Values look as in protobuf JSON; instants may be integers."""
    schema = build_column_schema(column)
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
        schema["anyOf"] = [each for each in schema["anyOf"] if "enum" not in each]
    return _NUMERIC_DATATYPES, schema
