"""Columns: the options of a protobuf field, checked and with their defaults filled in."""

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, isinf, nan
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from numpy.typing import NDArray

from athanor.contract.v1 import options_pb2
from athanor.errors import ContractError

Read = TypeVar("Read")

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Arrays of equal length `n` by column name. The `Kind` of a column says its dtype and how a missing value looks."""


class Kind(enum.Enum):
    """How the values of a column look in an array.

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
    GROUP = options_pb2.ROLE_GROUP
    WEIGHT = options_pb2.ROLE_WEIGHT
    PROBABILITY = options_pb2.ROLE_PROBABILITY
    LOWER = options_pb2.ROLE_LOWER
    UPPER = options_pb2.ROLE_UPPER
    IN_SET = options_pb2.ROLE_IN_SET


ANSWERS: Final = frozenset({Role.PREDICTION, Role.PROBABILITY, Role.LOWER, Role.UPPER, Role.IN_SET})
"""Roles of the prediction message's columns, of which each has exactly one."""

OF_A_CATEGORY: Final = frozenset({Role.PROBABILITY, Role.IN_SET})
"""Roles of columns that are about one category of the label."""


_KINDS: Final = {
    FieldDescriptor.TYPE_DOUBLE: Kind.NUMBER,
    FieldDescriptor.TYPE_FLOAT: Kind.NUMBER,
    FieldDescriptor.TYPE_INT32: Kind.INTEGER,
    FieldDescriptor.TYPE_UINT32: Kind.INTEGER,
    FieldDescriptor.TYPE_BOOL: Kind.BOOLEAN,
    FieldDescriptor.TYPE_STRING: Kind.TEXT,
}

# Numbers that a field of the type can hold.
_TYPE_LIMITS: Final = {FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1), FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1)}

_NO_DESCRIPTION: Final = "description is empty, describe the column in one sentence"
_SHARES: Final = ("missing_budget", "distance_budget", "missing_drift_budget", "rate_drift_budget")
BUDGETS: Final = (*_SHARES, "drift_budget")
"""The options that say when to worry; all others are part of the wire."""


@dataclass(frozen=True)
class Column:
    """One scalar field of a contract. The attributes are the options of `options.proto`, with their defaults filled in.

    Attributes:
        minimum, maximum: inclusive bounds, within the range of the field's type; -inf and inf where there is no bound.
        missing_budget: largest share of rows in which it may be missing; 0 for a required column.
        drift_budget: largest population stability index against a reference.
        distance_budget: largest Kolmogorov-Smirnov (numbers) or Jensen-Shannon (text) distance from a reference.
        missing_drift_budget: largest change of the share of missing values.
        rate_drift_budget: largest change of the share of true values.
        example: as protobuf JSON; None where the contract gives none.
        category: of the label, which a column of the answer is about; "" for all others.
        is_32_bit: whether a message holds its numbers in 32 bits. Its bounds and all its values are rounded to them.

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
    example: Any = None
    category: str = ""
    is_32_bit: bool = False

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its array."""
        return self.kind.dtype

    def missing(self, length: int) -> NDArray[Any]:
        """An array without values."""
        nothing = {Kind.TEXT: "", Kind.TIMESTAMP: np.datetime64("NaT", "us")}.get(self.kind, nan)
        return np.full(length, nothing, self.dtype)

    # Each request looks up caches by its columns. Hashing every attribute would cost more than the work they save.
    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.categories:
            return f"one of {', '.join(self.categories)}"
        if self.pattern:
            return f"text that matches {self.pattern}"
        unit = f" {self.unit}" if self.unit else ""
        whole = "whole number" if self.kind is Kind.INTEGER else "number"
        if self.kind in (Kind.NUMBER, Kind.INTEGER):
            return f"a {whole} from {self.shorten(self.minimum):.15g} to {self.shorten(self.maximum):.15g}{unit}"
        return f"a {self.kind.value}"

    def round(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values as a message holds them: 0.3 in 32 bits is 0.30000001192092896, 1e39 infinite. Keeps the dtype."""
        if not self.is_32_bit:
            return values
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(values.dtype)

    def shorten(self, value: Any) -> Any:
        """The shortest decimal number that a message holds as this one: 0.3 for 0.30000001192092896 in 32 bits."""
        return float(str(np.float32(value))) if self.is_32_bit else value

    @property
    def decimal_bounds(self) -> tuple[float, float]:
        """The bounds for readers that do not round to 32 bits: both 0.3 and 0.30000001192092896 are within them."""
        return min(self.minimum, self.shorten(self.minimum)), max(self.maximum, self.shorten(self.maximum))


class Problems:
    """Collects what is wrong, so that an author sees all of it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def attempt(self, read: Callable[..., Read], *arguments: Any) -> Read | None:
        """What a function reads; None if it raises ContractError, whose words are kept."""
        try:
            return read(*arguments)
        except ContractError as error:
            self.found += str(error).splitlines()
            return None

    def raise_all(self) -> None:
        """Raises ContractError if anything is wrong, a line each."""
        if self.found:
            raise ContractError("\n".join(dict.fromkeys(self.found)))


def is_column(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().HasExtension(options_pb2.column))


def read_column(field: FieldDescriptor) -> Column:
    """Reads the column that a field declares, all but its example.

    Raises:
        ContractError: the field has no column options, or they contradict its type or each other; all of it.
    """
    problems = Problems()
    kind = problems.attempt(_read_kind, field)
    if not is_column(field):
        problems.found.append(
            f"{field.full_name} has no column options; add [(athanor.contract.v1.column) = {{description: …}}]"
        )
        raise ContractError("\n".join(problems.found))
    options = field.GetOptions().Extensions[options_pb2.column]
    given = {option.name: value for option, value in options.ListFields()}
    roles = problems.attempt(_read_roles, field, options)
    if kind is None and not options.description:
        problems.found.append(f"{field.full_name}: {_NO_DESCRIPTION}")
    is_32_bit = field.type == FieldDescriptor.TYPE_FLOAT
    if is_32_bit:
        given |= problems.attempt(_round_bounds, field, given) or {}
    problems.raise_all()
    lowest, highest = _TYPE_LIMITS.get(field.type, (-inf, inf))
    column = Column(
        name=field.name,
        number=field.number,
        kind=kind or Kind.NUMBER,
        description=options.description,
        unit=options.unit,
        minimum=max(given.get("minimum", lowest), lowest),
        maximum=min(given.get("maximum", highest), highest),
        categories=tuple(options.categories),
        pattern=options.pattern,
        may_be_missing=options.may_be_missing,
        missing_budget=given.get("missing_budget", float(options.may_be_missing)),
        drift_budget=given.get("drift_budget"),
        distance_budget=given.get("distance_budget"),
        missing_drift_budget=given.get("missing_drift_budget"),
        rate_drift_budget=given.get("rate_drift_budget"),
        roles=roles or frozenset(),
        category=options.category,
        is_32_bit=is_32_bit,
    )
    checks = (_check_values, _check_budgets, _check_roles)
    if broken := [problem for check in checks for problem in check(column, given)]:
        raise ContractError(f"{field.full_name}: {'; '.join(broken)}")
    return column


def _round_bounds(field: FieldDescriptor, given: Mapping[str, Any]) -> dict[str, float]:
    bounds = {}
    for name in {"minimum", "maximum"} & given.keys():
        with np.errstate(over="ignore"):
            bounds[name] = float(np.float32(given[name]))
        if isfinite(given[name]) and (isinf(bounds[name]) or bool(bounds[name]) != bool(given[name])):
            raise ContractError(
                f"{field.full_name}: {name} {given[name]:g} is {bounds[name]:g} in a float's 32 bits; "
                "give one that a float can hold, or declare the field as double"
            )
    return bounds


def _read_roles(field: FieldDescriptor, options: options_pb2.ColumnOptions) -> frozenset[Role]:
    known = {role.value for role in Role}
    if unknown := set(options.roles) - known - {options_pb2.ROLE_UNSPECIFIED}:
        numbers = ", ".join(map(str, sorted(unknown)))
        raise ContractError(f"{field.full_name}: role {numbers} is unknown; use a Role of athanor.contract.v1")
    return frozenset(Role(role) for role in options.roles if role in known)


def _read_kind(field: FieldDescriptor) -> Kind:
    if field.is_repeated:
        raise ContractError(f"{field.full_name} is repeated; a column holds a single value, remove `repeated`")
    if not field.has_presence:
        raise ContractError(f"{field.full_name} is not `optional`; declare it so, or zero and missing look the same")
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
        return Kind.TIMESTAMP
    if field.has_default_value:
        raise ContractError(f"{field.full_name} has a default value, as which a missing one would be read; remove it")
    kind = _KINDS.get(field.type)
    if kind is None:
        allowed = "double, float, int32, uint32, bool, string or google.protobuf.Timestamp"
        raise ContractError(f"{field.full_name} has a type that a column cannot have; use {allowed}")
    return kind


def _check_values(column: Column, given: Mapping[str, Any]) -> Iterator[str]:
    bounds = {name: given[name] for name in ("minimum", "maximum") if name in given}
    if not column.description:
        yield _NO_DESCRIPTION
    if not all(map(isfinite, bounds.values())):
        yield f"minimum and maximum must be finite: {_list_options(bounds)}"
    if column.minimum > column.maximum:
        yield f"minimum {column.minimum:g} is above maximum {column.maximum:g}"
    if bounds and column.kind not in (Kind.NUMBER, Kind.INTEGER):
        yield f"minimum and maximum apply to numbers, this is a {column.kind.value}"
    if (column.categories or column.pattern) and column.kind is not Kind.TEXT:
        yield f"categories and pattern apply to text, this is a {column.kind.value}"
    if column.categories and column.pattern:
        yield "categories and pattern exclude each other, keep one"
    try:
        re.compile(column.pattern)
    except re.error as error:
        yield f"pattern {column.pattern!r} is not a regular expression: {error}"


def _check_budgets(column: Column, given: Mapping[str, Any]) -> Iterator[str]:
    shares = {name: given[name] for name in _SHARES if not 0 <= given.get(name, 0) <= 1}
    if shares:
        yield f"a share must be from 0 to 1: {_list_options(shares)}"
    if not 0 <= given.get("drift_budget", 0) < inf:
        yield f"drift_budget must be finite and 0 or more: {given['drift_budget']:g}"
    if not column.may_be_missing and given.get("missing_budget", 0) > 0:
        yield "missing_budget needs may_be_missing: true"
    if not column.may_be_missing and "missing_drift_budget" in given:
        yield "missing_drift_budget needs may_be_missing: true"
    if "rate_drift_budget" in given and column.kind is not Kind.BOOLEAN:
        yield f"rate_drift_budget applies to booleans, this is a {column.kind.value}"
    if "distance_budget" in given and column.kind in (Kind.BOOLEAN, Kind.TIMESTAMP):
        yield f"distance_budget applies to numbers and text, this is a {column.kind.value}"
    if "drift_budget" in given and column.kind is Kind.TIMESTAMP:
        yield "drift_budget does not apply to a timestamp, which only moves forward"


def _check_roles(column: Column, given: Mapping[str, Any]) -> Iterator[str]:
    for role in sorted(column.roles, key=lambda role: role.value):
        kinds, types = _KINDS_OF_ROLES.get(role, ((column.kind,), ""))
        if column.kind not in kinds:
            yield f"ROLE_{role.name} needs {types}, this is a {column.kind.value}"
        if role in _REQUIRED and column.may_be_missing:
            yield f"ROLE_{role.name} needs a required column, remove may_be_missing"
    if Role.WEIGHT in column.roles and column.minimum < 0:
        yield "ROLE_WEIGHT needs a minimum of 0 or more"
    if {Role.LABEL, Role.WEIGHT} <= column.roles:
        yield "ROLE_LABEL and ROLE_WEIGHT exclude each other, keep one"
    if bool(column.category) != bool(column.roles & OF_A_CATEGORY):
        yield "category belongs to ROLE_PROBABILITY and ROLE_IN_SET, and they need one"


_NUMBER: Final = ((Kind.NUMBER,), "a double or float")
_KINDS_OF_ROLES: Final[Mapping[Role, tuple[tuple[Kind, ...], str]]] = {
    Role.EVENT_TIME: ((Kind.TIMESTAMP,), "a google.protobuf.Timestamp"),
    Role.GROUP: ((Kind.TEXT, Kind.INTEGER), "a string, int32 or uint32"),
    Role.WEIGHT: ((Kind.NUMBER, Kind.INTEGER), "a number"),
    Role.LOWER: _NUMBER,
    Role.UPPER: _NUMBER,
    Role.PROBABILITY: _NUMBER,
    Role.IN_SET: ((Kind.BOOLEAN,), "a bool"),
}
_REQUIRED: Final = frozenset({Role.KEY, Role.EVENT_TIME, Role.GROUP, Role.WEIGHT, Role.LABEL, *ANSWERS})


def _list_options(options: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in options.items())


def conform(values: Columns, columns: Iterable[Column], length: int) -> Columns:
    """The columns of another contract: values of `length` rows where they are given, missing ones elsewhere.

    >>> conform({"old": np.array([1.0])}, [column], 1)
    {'amount': array([nan])}
    """
    return {column.name: values[column.name] if column.name in values else column.missing(length) for column in columns}
