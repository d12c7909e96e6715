"""JSON encodings for fields of profiles: exact to the last bit, and strict when read."""

import math
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, PlainSerializer, PlainValidator

AS_JSON: Final = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)


def _read_numbers(values: Any) -> NDArray[np.float64]:
    if not isinstance(values, list) or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise ValueError("it is not a list of finite numbers")
    return np.array(values, dtype=np.float64)


def _read_counts(values: Any) -> NDArray[np.int64]:
    if not isinstance(values, list) or not all(type(v) is int and 0 < v < 2**63 for v in values):
        raise ValueError("it is not a list of positive integers")
    return np.array(values, dtype=np.int64)


def _read_number_or_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it is not a finite number")
    return math.nan if value is None else value


def _read_instant(value: Any) -> np.datetime64 | None:
    if value is None:
        return None
    instant = np.datetime64(value, "us")
    if np.isnat(instant) or str(instant) != value:
        raise ValueError("it is not an instant with microseconds")
    return instant


def _write_list(values: NDArray[Any]) -> list[Any]:
    return list(values.tolist())


def _write_instant(value: np.datetime64 | None) -> str | None:
    return None if value is None else str(value)


Numbers: TypeAlias = Annotated[NDArray[np.float64], PlainValidator(_read_numbers), PlainSerializer(_write_list)]
Counts: TypeAlias = Annotated[NDArray[np.int64], PlainValidator(_read_counts), PlainSerializer(_write_list)]
NumberOrNan: TypeAlias = Annotated[float, BeforeValidator(_read_number_or_nan)]
Instant: TypeAlias = Annotated[np.datetime64 | None, PlainValidator(_read_instant), PlainSerializer(_write_instant)]
