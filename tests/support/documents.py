"""OpenAPI documents of some contracts, and whether a request keeps to them."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from openapi_schema_validator import OAS31Validator, oas31_format_checker
from support.protos import Toy, make_field
from support.questions import QUESTIONS

from athanor.contract.contract import Contract
from athanor.contract.validation import validate
from athanor.serving.docs.openapi import DescribedModel, build_openapi
from athanor.serving.formats.typed_json import RowReader
from projects.delays.model import MODEL

MAX_ROWS: Final = 3
VERSIONS: Final = ("1.2.3", "1.3.0")
FLIGHTS: Final = MODEL.contract


def read_toy(bend: Callable[[Toy], None] = lambda toy: None) -> Contract:
    toy = Toy()
    bend(toy)
    return toy.read()


def add_all_kinds(toy: Toy) -> None:
    """Kinds of columns that no project has yet."""
    toy.column("code").example = "A"
    toy.row.field.extend(
        [
            make_field("ratio", 8, "float", description="A share", may_be_missing=True),
            make_field("free_text", 9, "string", description="Whatever"),
            make_field("maybe", 10, "string", description="Or not", categories=["a", "b"], may_be_missing=True),
            make_field("seen_at", 11, ".google.protobuf.Timestamp", description="When seen", may_be_missing=True),
            make_field("weight", 12, "double", description="Unbounded"),
            make_field("halves", 13, "int32", description="Broken bounds", minimum=-1.5, maximum=2.5),
            make_field("digits", 14, "string", description="Digits", pattern=r"\d{2}", example="00"),
            make_field("is_old", 15, "bool", description="Whether it is old"),
        ]
    )


CONTRACTS: Final = {
    "flights": FLIGHTS,
    "toy": read_toy(add_all_kinds),
    **{question.contract.name: question.contract for question in QUESTIONS},
}


@cache
def document_of(contract: Contract) -> dict[str, Any]:
    """Shared: do not change it."""
    return build_openapi(DescribedModel(contract, VERSIONS), MAX_ROWS)


def make_validator(contract: Contract, name: str) -> Any:
    """A validator of one component schema."""
    schema = {**document_of(contract), "$ref": f"#/components/schemas/{name}"}
    return OAS31Validator(schema, format_checker=oas31_format_checker)


def example_request(contract: Contract) -> dict[str, Any]:
    """The document's example. Shared: do not change it."""
    (body,) = document_of(contract)["components"]["schemas"][contract.predict.input_type.full_name]["examples"]
    return dict(body)


def is_right(contract: Contract, body: Any) -> bool:
    """Whether a service accepts a body: it is a request, and its rows keep the contract."""
    reader, rows = RowReader(contract), body[contract.rows_field.json_name]
    if not 1 <= len(rows) <= MAX_ROWS:
        return False
    for row in rows:
        reader.add(row)
    return not reader.unread and not validate(contract.columns, reader.columns())
