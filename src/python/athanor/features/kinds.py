"""What helpers take: arrays of numbers, of texts or of instants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from athanor.errors import ContractError
from athanor.features.arrays import xp

if TYPE_CHECKING:
    from ndonnx import Array
    from spox import Var


def require_numbers(values: object) -> Array:
    """float64 of shape (n,). Raises ContractError if the values are no numbers or booleans."""
    if not (isinstance(values, xp.Array) and (values.dtype == xp.bool or xp.extensions.is_numeric_dtype(values.dtype))):
        raise _refuse("numbers", values)
    return values.astype(xp.float64)


def require_texts(values: object) -> Var:
    """Texts of shape (n,). Raises ContractError if the values are no texts."""
    if not (isinstance(values, xp.Array) and values.dtype == xp.utf8):
        raise _refuse("texts", values)
    return values.unwrap_spox()


def require_instants(values: object) -> Var:
    """int64 of shape (n,): microseconds since 1970, the smallest for NaT. Raises ContractError if there are others."""
    if not (isinstance(values, xp.Array) and isinstance(values.dtype, xp.DateTime64DType)):
        raise _refuse("instants, datetime64[us]", values)
    return xp.extensions.get_data(values.astype(xp.DateTime64DType("us"))).unwrap_spox()


def _refuse(wanted: str, values: object) -> ContractError:
    found = f"an array of {values.dtype}" if isinstance(values, xp.Array) else f"{type(values).__name__}: {values!r}"
    return ContractError(f"an array of {wanted} is needed; this is {found}")
