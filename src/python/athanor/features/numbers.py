"""Numbers. Missing in, missing out: NaN gives NaN."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from athanor.errors import ContractError
from athanor.features.arrays import op, xp
from athanor.features.kinds import require_numbers
from athanor.features.steps import step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndonnx import Array
    from spox import Var

# Of sin(x) / x as a polynomial of x ** 2, which interpolates it at eight Chebyshev nodes for a quarter turn.
_SINE: Final = (
    1.0,
    -0.16666666666666072,
    0.008333333333282756,
    -0.00019841269824861897,
    2.7557316609073673e-06,
    -2.505188194671259e-08,
    1.6048168318165643e-10,
    -7.374387503862757e-13,
)
# Pi in three parts. The first two have 32 bits, so that their products with a million half turns are exact: Cody and
# Waite 1980, "Software Manual for the Elementary Functions".
_PI: Final = (3.1415926534682512, 1.2154201012607932e-10, 4.044532497591901e-21)


def is_missing(values: Array) -> Array:
    """Whether a value is missing.

    Args:
        values: numbers, instants or texts of shape (n,).

    Returns:
        bool of shape (n,): true for NaN, NaT and "". Integers and booleans are never missing.

    >>> is_missing(xp.asarray(np.array([np.nan, 0.0, np.inf]))).unwrap_numpy().tolist()
    [True, False, False]
    """
    return values == "" if values.dtype == xp.utf8 else xp.isnan(values)


def clip(values: Array, low: float, high: float) -> Array:
    """Values moved to the nearer bound if they lie outside of two.

    Args:
        values: numbers of shape (n,).
        low, high: finite bounds; `low` is not above `high`.

    Returns:
        float64 of shape (n,), from `low` to `high`, also for infinite values; NaN for NaN.

    Raises:
        ContractError: the bounds are not finite or the wrong way round, or the values are no numbers.

    >>> clip(xp.asarray(np.array([-1.0, 0.5, np.inf, np.nan])), 0, 1).unwrap_numpy().tolist()
    [0.0, 0.5, 1.0, nan]
    """
    if not (isfinite(low) and isfinite(high) and low <= high):
        raise ContractError(f"clip needs finite bounds, the lower one first; these are {low} and {high}")
    bounds = op.const(np.float64(low)), op.const(np.float64(high))
    return xp.asarray(op.clip(require_numbers(values).unwrap_spox(), *bounds))


def ratio(dividend: Array, divisor: Array) -> Array:
    """One number divided by another, missing where there is nothing to divide by.

    Args:
        dividend, divisor: numbers of shape (n,).

    Returns:
        float64 of shape (n,). NaN if one of them is NaN, if the divisor is zero, or if both are infinite; infinite if
        the dividend is.

    Raises:
        ContractError: they are no numbers.

    >>> ratio(xp.asarray(np.array([3.0, 1.0, 0.0])), xp.asarray(np.array([2.0, 0.0, 0.0]))).unwrap_numpy().tolist()
    [1.5, nan, nan]
    """
    divided_by = require_numbers(divisor)
    return require_numbers(dividend) / xp.where(divided_by == 0, xp.nan, divided_by)


def bins(values: Array, edges: Sequence[float]) -> Array:
    """Which of the ranges between edges a value lies in.

    Args:
        values: numbers of shape (n,).
        edges: finite and ascending, at least one. A value that equals an edge lies above it.

    Returns:
        float64 of shape (n,): 0 below the first edge, `len(edges)` from the last one on; NaN for NaN.

    Raises:
        ContractError: there are no edges, or they are not finite or not ascending, or the values are no numbers.

    >>> bins(xp.asarray(np.array([-np.inf, 10.0, 15.0, np.inf, np.nan])), [10, 20]).unwrap_numpy().tolist()
    [0.0, 1.0, 1.0, 2.0, nan]
    """
    sorted_edges = np.array(edges, dtype=np.float64)
    if not len(sorted_edges) or not np.isfinite(sorted_edges).all() or (np.diff(sorted_edges) <= 0).any():
        raise ContractError(f"bins needs finite edges in ascending order, at least one; these are {list(edges)}")
    doubles = require_numbers(values)
    found = xp.asarray(step(doubles.unwrap_spox(), sorted_edges, np.arange(len(sorted_edges) + 1.0)))
    return xp.where(xp.isnan(doubles), xp.nan, found.astype(xp.float64))


def cyclic(values: Array, period: float) -> tuple[Array, Array]:
    """Sine and cosine of a value on a circle, so that its end lies next to its beginning: hours of a day, degrees.

    onnxruntime has no sine of float64. That of float32 has other last bits for many values than for few, and a service
    would see other features than training did. Sums and products of float64 have the same bits everywhere.

    Args:
        values: numbers of shape (n,).
        period: after which the values begin anew; finite and above zero.

    Returns:
        Two arrays, float32 of shape (n,): for less than 500,000 turns NumPy's float64, rounded; NaN for missing
        and infinite values.

    Raises:
        ContractError: the period is not finite and above zero, or the values are no numbers.

    >>> sine, cosine = cyclic(xp.asarray(np.array([np.nan, 0.0, 6.0])), period=24)
    >>> sine.unwrap_numpy().round(3).tolist(), cosine.unwrap_numpy().round(3).tolist()
    ([nan, 0.0, 1.0], [nan, 1.0, 0.0])
    """
    if not (isfinite(period) and period > 0):
        raise ContractError(f"cyclic needs a finite period above zero; this is {period}")
    angle = require_numbers(values) * (2 * np.pi / period)
    both = op.cast(_sine_and_cosine(angle.unwrap_spox()), to=np.float32)
    sine, cosine = (op.gather(both, op.const(position)) for position in (0, 1))
    return xp.asarray(sine), xp.asarray(cosine)


def _sine_and_cosine(angle: Var) -> Var:
    """float64 of shape (2, n), within 1e-15."""
    angles = op.unsqueeze(angle, op.const([0]))
    # The half turn whose zero is nearest: those of the sine lie at whole ones, those of the cosine between.
    half_turns = op.floor(op.add(op.mul(angles, _const(1 / np.pi)), _const([[0.5], [0.0]])))
    zero = op.add(half_turns, _const([[0.0], [0.5]]))
    x = angles
    for part in _PI:
        x = op.sub(x, op.mul(zero, _const(part)))
    square, value = op.mul(x, x), _const(_SINE[-1])
    for coefficient in _SINE[-2::-1]:
        value = op.add(op.mul(value, square), _const(coefficient))
    whole = op.mul(half_turns, _const(0.5))
    is_odd = op.sub(whole, op.floor(whole))
    sign = op.sub(_const([[1.0], [-1.0]]), op.mul(is_odd, _const([[4.0], [-4.0]])))
    return op.mul(sign, op.mul(value, x))


def _const(value: float | list[list[float]]) -> Var:
    return op.const(np.array(value, dtype=np.float64))
