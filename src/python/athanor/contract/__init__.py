"""Layer `contract`: one protobuf message says what a row is; everything about columns is read from it."""

from athanor.contract.columns import Column, Columns, Kind, Role
from athanor.contract.compatibility import find_breaking_changes
from athanor.contract.contract import Contract, read_contract
from athanor.contract.messages import is_missing, to_columns, to_messages
from athanor.contract.validation import Breach, Rule, Violation, validate

__all__ = [
    "Breach",
    "Column",
    "Columns",
    "Contract",
    "Kind",
    "Role",
    "Rule",
    "Violation",
    "find_breaking_changes",
    "is_missing",
    "read_contract",
    "to_columns",
    "to_messages",
    "validate",
]
