"""Examples of a column's values: documentation that the contract gives, held to the column's own rules."""

import json
from dataclasses import replace
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from athanor.contract.columns import Column, Kind
from athanor.contract.messages import to_columns
from athanor.contract.shown import shown
from athanor.contract.v1 import options_pb2
from athanor.contract.validation import validate
from athanor.errors import ContractError


def read_example(owner: Descriptor, column: Column) -> Any:
    """The example of a column as protobuf JSON; None where the contract gives none.

    Args:
        owner: message with the column.

    Raises:
        ContractError: it has another type than the column, is missing, or breaks a rule of the column.
    """
    field = owner.fields_by_name[column.name]
    options = field.GetOptions().Extensions[options_pb2.column]
    if not options.HasField("example"):
        return None
    text = options.example
    where = f"{field.full_name}: example {shown(text)}"
    message = GetMessageClass(owner)()
    try:
        value = text if column.kind in (Kind.TEXT, Kind.TIMESTAMP) else json.loads(text)
        json_format.ParseDict({field.json_name: value}, message)
    except (ValueError, json_format.ParseError):
        raise ContractError(f"{where} cannot be read; give {column.allowed}") from None
    # A missing value shows nothing, even where rows may have one.
    required = replace(column, may_be_missing=False)
    for breach in validate([required], to_columns([required], [message])):
        raise ContractError(f"{where} breaks {breach.rule.value}; give {column.allowed}")
    return json_format.MessageToDict(message)[field.json_name]
