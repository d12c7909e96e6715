"""Columns: what the options of a protobuf field say about one column, checked and ready to use."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from numpy.typing import NDArray

from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays of equal length `n` by column name; a column's `Kind` says its dtype and how a missing value looks."""


class Kind(enum.Enum):
    """How a column's values look in an array.

    NUMBER, INTEGER and BOOLEAN are float64 with NaN for missing (32-bit integers are exact in it); TEXT is an object
    array of `str` with "" for missing; TIMESTAMP is datetime64[us] in UTC with NaT for missing.
    """

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    TIMESTAMP = "timestamp"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype({Kind.TEXT: "O", Kind.TIMESTAMP: "M8[us]"}.get(self, "f8"))

    @property
    def is_numeric(self) -> bool:
        return self in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)


class Role(enum.Enum):
    """What a column is for; see `options.proto`."""

    KEY = options_pb2.ROLE_KEY
    EVENT_TIME = options_pb2.ROLE_EVENT_TIME
    FEATURE = options_pb2.ROLE_FEATURE
    LABEL = options_pb2.ROLE_LABEL
    PREDICTION = options_pb2.ROLE_PREDICTION


_KINDS = {
    FieldDescriptor.TYPE_DOUBLE: Kind.NUMBER,
    FieldDescriptor.TYPE_FLOAT: Kind.NUMBER,
    FieldDescriptor.TYPE_INT32: Kind.INTEGER,
    FieldDescriptor.TYPE_UINT32: Kind.INTEGER,
    FieldDescriptor.TYPE_BOOL: Kind.BOOLEAN,
    FieldDescriptor.TYPE_STRING: Kind.TEXT,
}

# What a message can carry of them.
_TYPE_LIMITS = {FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1), FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1)}

_SHARES = ("distance_budget", "missing_drift_budget", "rate_drift_budget")


@dataclass(frozen=True)
class Column:
    """One scalar field of a contract. The attributes are the options of `options.proto`, with their defaults filled in.

    Attributes:
        minimum, maximum: inclusive bounds; those of the field's type at least, -inf and inf where there is none.
        missing_budget: largest share of rows in which it may be missing; 0 where it may not.
        drift_budget: largest population stability index against a reference.
        distance_budget: largest Kolmogorov-Smirnov (numbers) or Jensen-Shannon (text) distance from a reference.
        missing_drift_budget: largest change of the share of missing values.
        rate_drift_budget: largest change of the share of true values.

    A drift budget is None where that drift is not checked.
    """

    name: str
    number: int
    kind: Kind
    description: str
    unit: str
    minimum: float
    maximum: float
    categories: tuple[str, ...]
    pattern: str
    may_be_missing: bool
    missing_budget: float
    drift_budget: float | None
    distance_budget: float | None
    missing_drift_budget: float | None
    rate_drift_budget: float | None
    roles: frozenset[Role]

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """That of its array."""
        return self.kind.dtype

    # What each request looks up by its columns is found without hashing all that they say.
    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def allowed(self) -> str:
        """What a value may be, for people."""
        if self.categories:
            return f"one of {', '.join(self.categories)}"
        if self.pattern:
            return f"text that matches {self.pattern}"
        unit = f" {self.unit}" if self.unit else ""
        whole = "whole number" if self.kind is Kind.INTEGER else "number"
        if self.kind in (Kind.NUMBER, Kind.INTEGER):
            return f"a {whole} from {self.minimum:.15g} to {self.maximum:.15g}{unit}"
        return f"a {self.kind.value}"


def is_column(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().HasExtension(options_pb2.column))


def read_column(field: FieldDescriptor) -> Column:
    """Reads the column that a field declares.

    Raises:
        ContractError: the field carries no column options, or they contradict its type or each other.
    """
    if not is_column(field):
        raise ContractError(f"{field.full_name} has no (athanor.contract.v1.column); give it at least a description")
    options = field.GetOptions().Extensions[options_pb2.column]
    lowest, highest = _TYPE_LIMITS.get(field.type, (-np.inf, np.inf))
    column = Column(
        name=field.name,
        number=field.number,
        kind=_read_kind(field),
        description=options.description,
        unit=options.unit,
        minimum=max(options.minimum, lowest) if options.HasField("minimum") else lowest,
        maximum=min(options.maximum, highest) if options.HasField("maximum") else highest,
        categories=tuple(options.categories),
        pattern=options.pattern,
        may_be_missing=options.may_be_missing,
        missing_budget=options.missing_budget if options.HasField("missing_budget") else float(options.may_be_missing),
        drift_budget=options.drift_budget if options.HasField("drift_budget") else None,
        distance_budget=options.distance_budget if options.HasField("distance_budget") else None,
        missing_drift_budget=options.missing_drift_budget if options.HasField("missing_drift_budget") else None,
        rate_drift_budget=options.rate_drift_budget if options.HasField("rate_drift_budget") else None,
        roles=_read_roles(field, options),
    )
    _check(field, column)
    return column


def _read_roles(field: FieldDescriptor, options: options_pb2.ColumnOptions) -> frozenset[Role]:
    known = {role.value for role in Role}
    if unknown := set(options.roles) - known - {options_pb2.ROLE_UNSPECIFIED}:
        raise ContractError(f"{field.full_name}: role {', '.join(map(str, sorted(unknown)))} is unknown")
    return frozenset(Role(role) for role in options.roles if role in known)


def _read_kind(field: FieldDescriptor) -> Kind:
    if field.is_repeated:
        raise ContractError(f"{field.full_name} is repeated; a column is a single value")
    if not field.has_presence:
        raise ContractError(f"{field.full_name} must be declared `optional`, or zero and 'not given' look the same")
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
        return Kind.TIMESTAMP
    kind = _KINDS.get(field.type)
    if kind is None:
        allowed = "double, float, int32, uint32, bool, string or google.protobuf.Timestamp"
        raise ContractError(f"{field.full_name} has a type that no column can have; use {allowed}")
    return kind


def _check(field: FieldDescriptor, column: Column) -> None:
    options = field.GetOptions().Extensions[options_pb2.column]
    given = {set_field.name: value for set_field, value in options.ListFields()}
    bounds = {name: given[name] for name in ("minimum", "maximum") if name in given}
    budgets = (column.missing_budget, column.drift_budget or 0.0)
    shares = {name: given[name] for name in _SHARES if name in given}
    try:
        re.compile(column.pattern)
    except re.error as error:
        raise ContractError(
            f"{field.full_name}: pattern {column.pattern!r} is no regular expression: {error}"
        ) from None
    problems = {
        "description is empty": not column.description,
        f"minimum {column.minimum:g} is above maximum {column.maximum:g}": column.minimum > column.maximum,
        f"a bound is not finite: {bounds}": not all(map(np.isfinite, bounds.values())),
        "minimum and maximum are for numbers": bool(bounds) and column.kind not in (Kind.NUMBER, Kind.INTEGER),
        "categories and pattern are for text": column.kind is not Kind.TEXT
        and bool(column.categories or column.pattern),
        "categories and pattern exclude each other": bool(column.categories and column.pattern),
        "missing_budget needs may_be_missing": not column.may_be_missing and column.missing_budget > 0,
        f"missing_budget {column.missing_budget:g} is no share from 0 to 1": not 0 <= column.missing_budget <= 1,
        f"a drift budget is no share from 0 to 1: {shares}": not all(0 <= share <= 1 for share in shares.values()),
        "missing_drift_budget needs may_be_missing": not column.may_be_missing and "missing_drift_budget" in given,
        "rate_drift_budget is for truth values": column.kind is not Kind.BOOLEAN and "rate_drift_budget" in given,
        "distance_budget is for numbers and text": column.kind in (Kind.BOOLEAN, Kind.TIMESTAMP)
        and "distance_budget" in given,
        f"a budget is negative or not finite: {budgets}": any(not np.isfinite(b) or b < 0 for b in budgets),
        "drift of a Timestamp cannot be budgeted: it only moves forward": column.kind is Kind.TIMESTAMP
        and column.drift_budget is not None,
        "an event time must be a Timestamp": Role.EVENT_TIME in column.roles and column.kind is not Kind.TIMESTAMP,
        "a key may not be missing": Role.KEY in column.roles and column.may_be_missing,
        "an event time may not be missing": Role.EVENT_TIME in column.roles and column.may_be_missing,
    }
    if found := [problem for problem, is_so in problems.items() if is_so]:
        raise ContractError(f"{field.full_name}: {'; '.join(found)}")
