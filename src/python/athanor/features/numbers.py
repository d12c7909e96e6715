"""Numbers. Missing in, missing out: NaN gives NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from athanor.features.arrays import op, xp

if TYPE_CHECKING:
    from ndonnx import Array

_TURN: Final = 2 * np.pi


def cyclic(values: Array, period: float) -> tuple[Array, Array]:
    """Sine and cosine of a value on a circle, so that its end lies next to its beginning: hours of a day, degrees.

    onnxruntime has no sine of float64: the angle is reduced to half a turn in float64, and rounded once to float32.

    Args:
        values: numbers of shape (n,).
        period: after which the values begin anew.

    Returns:
        Two arrays, float32 of shape (n,), within 2e-7 of the exact values; NaN for missing and infinite values.

    >>> sine, cosine = cyclic(xp.asarray(np.array([np.nan, 0.0, 6.0])), period=24)
    >>> sine.unwrap_numpy().round(3).tolist(), abs(cosine).unwrap_numpy().round(3).tolist()
    ([nan, 0.0, 1.0], [nan, 1.0, 0.0])
    """
    turns = values.astype(xp.float64) / period
    angle = op.cast(((turns - xp.round(turns)) * _TURN).unwrap_spox(), to=np.float32)
    return xp.asarray(op.sin(angle)), xp.asarray(op.cos(angle))
