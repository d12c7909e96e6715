"""Columns of a contract as JSON Schema, and an example of a valid row.

The schemas describe protobuf JSON as protobuf writes it. The service reads more: names as in the .proto file, numbers
as text, 0 and 1 as booleans, and "" for a missing time (`serving.formats.values`). Beside that, a schema and
`athanor.contract.validation` can differ in three cases:

- a pattern without an equal in ECMA-262 (see `patterns.to_ecma`) is given as `x-pattern`, which validators ignore;
- a `float` is validated after rounding to 32 bits, so that a schema refuses some numbers that round to a bound;
- an offset can move an instant out of the years 1 to 9999.
"""

import math
import sys
from typing import Any, Final

from athanor.contract.columns import Column, Kind
from athanor.contract.contract import Contract, message_of
from athanor.serving.docs.patterns import to_ecma
from athanor.serving.formats.values import INSTANT_PATTERN

# Many validators search with Python, whose `$` also matches before a final newline.
_END: Final = r"$(?!\n)"
EXAMPLE_INSTANT: Final = "2024-01-01T12:00:00Z"
_LARGEST_FLOAT: Final = 3.4028234663852886e38
# The middle of a wider range is no usual value.
_WIDEST: Final = 1_000_000.0
_TYPES: Final = {Kind.NUMBER: "number", Kind.INTEGER: "integer", Kind.BOOLEAN: "boolean"}


def json_name(contract: Contract, column: Column) -> str:
    """The name of a row's column in protobuf JSON."""
    return str(contract.row.fields_by_name[column.name].json_name)


def answer_json_name(contract: Contract, column: Column) -> str:
    """The name of an answer's column in protobuf JSON."""
    return str(message_of(contract.predictions_field).fields_by_name[column.name].json_name)


def build_row_schema(contract: Contract) -> dict[str, Any]:
    """One row as an object of protobuf JSON."""
    return {
        "type": "object",
        "description": "One row. Names as in the .proto file (`snake_case`) are read as well.",
        "properties": {json_name(contract, column): build_column_schema(column) for column in contract.columns},
        "required": [json_name(contract, column) for column in contract.columns if not column.may_be_missing],
        "additionalProperties": False,
        "examples": [make_example_row(contract)],
    }


def build_prediction_schema(contract: Contract) -> dict[str, Any]:
    """One prediction as an object of protobuf JSON."""
    return {
        "type": "object",
        "properties": {answer_json_name(contract, column): build_answer_schema(column) for column in contract.answer},
        # Later versions may add columns, which earlier ones lack.
        "required": [answer_json_name(contract, contract.prediction)],
    }


def build_answer_schema(column: Column) -> dict[str, Any]:
    """The values of an answer's column. Infinite bounds are left out: an answer may not be infinite, but as large."""
    schema: dict[str, Any] = {"type": _TYPES.get(column.kind, "string"), "description": column.description}
    schema |= {"x-unit": column.unit} if column.unit else {}
    if column.categories:
        return schema | {"enum": list(column.categories)}
    if column.kind not in (Kind.NUMBER, Kind.INTEGER):
        return schema
    bounds = dict(zip(("minimum", "maximum"), column.decimal_bounds, strict=True))
    return schema | {name: bound for name, bound in bounds.items() if math.isfinite(bound)}


def build_column_schema(column: Column) -> dict[str, Any]:
    """The values of a column in protobuf JSON."""
    schema = _describe(column)
    if column.kind is Kind.TEXT:
        schema |= _build_text(column)
    elif column.kind is Kind.TIMESTAMP:
        schema |= {"type": _nullable("string", column), "format": "date-time", "pattern": INSTANT_PATTERN}
    else:
        schema |= build_number_schema(column)
    example = make_example_value(column)
    return schema | ({} if example is None else {"examples": [example]})


def _describe(column: Column) -> dict[str, Any]:
    missing = " May be missing." if column.may_be_missing else " Required."
    description = f"{column.description}: {column.allowed}.{missing}"
    return {"description": description} | ({"x-unit": column.unit} if column.unit else {})


def _nullable(kind: str, column: Column) -> str | list[str]:
    return [kind, "null"] if column.may_be_missing else kind


def build_number_schema(column: Column) -> dict[str, Any]:
    """The values of a numeric column. An optional number may be "NaN" too; infinities are never allowed."""
    limits = {} if column.kind is Kind.BOOLEAN else _limits(column)
    value = {"type": _TYPES[column.kind], **limits}
    if not column.may_be_missing:
        return value
    if column.kind is Kind.NUMBER:
        # Not a `const`: generated clients refuse any other value of such a union.
        return {"anyOf": [value, {"type": "string", "enum": ["NaN"]}, {"type": "null"}]}
    return value | {"type": [value["type"], "null"]}


def _limits(column: Column) -> dict[str, float]:
    """Inclusive bounds, always finite: JSON can write numbers beyond the range of a double."""
    if column.kind is Kind.INTEGER:
        return {"minimum": math.ceil(column.minimum), "maximum": math.floor(column.maximum)}
    largest = _LARGEST_FLOAT if column.is_32_bit else sys.float_info.max
    lowest, highest = column.decimal_bounds
    return {"minimum": max(lowest, -largest), "maximum": min(highest, largest)}


def _build_text(column: Column) -> dict[str, Any]:
    """The values of a text column. Empty text counts as missing."""
    schema: dict[str, Any] = {"type": _nullable("string", column)}
    if column.categories:
        return schema | {"enum": [*column.categories, *(("", None) if column.may_be_missing else ())]}
    if not column.may_be_missing:
        schema["minLength"] = 1
    if not column.pattern:
        return schema
    portable = to_ecma(column.pattern)
    if portable is None:
        return schema | {"x-pattern": column.pattern}
    return schema | {"pattern": f"^(?:{portable}{'|' if column.may_be_missing else ''}){_END}"}


def make_example_row(contract: Contract) -> dict[str, Any]:
    """A valid row as protobuf JSON. Columns without an example are left out."""
    values = {json_name(contract, column): make_example_value(column) for column in contract.columns}
    return {name: value for name, value in values.items() if value is not None}


def make_example_value(column: Column) -> Any:
    """The contract's example as protobuf JSON, or an allowed value; None for text with only a pattern."""
    if column.example is not None:
        return column.example
    match column.kind:
        case Kind.TEXT:
            return None if column.pattern else next(iter(column.categories), "text")
        case Kind.TIMESTAMP:
            return EXAMPLE_INSTANT
        case Kind.BOOLEAN:
            return True
    return _make_number(column)


def _make_number(column: Column) -> float:
    """In the middle of the range, with few digits; near one where the range is wide."""
    is_wide = not column.maximum - column.minimum <= _WIDEST
    middle = 1.0 if is_wide else float(f"{(column.minimum + column.maximum) / 2:.3g}")
    near = min(max(middle, column.minimum), column.maximum)
    if column.kind is Kind.NUMBER:
        return float(column.shorten(near))
    whole = math.floor(near)
    return whole if whole >= column.minimum else math.ceil(near)
