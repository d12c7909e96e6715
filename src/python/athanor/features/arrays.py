"""The arrays of features: those of ndonnx, which implements the Array API's standard and can be traced to ONNX.

`xp` is its namespace, under the name that the standard uses: `xp.where`, `xp.isnan`, `xp.log`. The libraries are loaded
when first used: importing them takes half a second, and most commands that read a project's declaration trace nothing.

>>> amounts = xp.asarray(np.array([1.0, np.nan]))
>>> xp.where(xp.isnan(amounts), 0.0, amounts * 2).unwrap_numpy().tolist()
[2.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import ndonnx as xp
    import onnx
    import spox
    from ndonnx import Array
    from spox.opset.ai.onnx import v21 as op
    from spox.opset.ai.onnx.ml import v4 as ml
else:

    class _Library:
        """A module that is imported when one of its names is used."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self._name), name)

    xp = _Library("ndonnx")
    onnx = _Library("onnx")
    spox = _Library("spox")
    op = _Library("spox.opset.ai.onnx.v21")
    ml = _Library("spox.opset.ai.onnx.ml.v4")

__all__ = ["OPSET", "Arrays", "Compute", "ml", "onnx", "op", "spox", "xp"]

OPSET = 21
"""Version of ONNX's operators in a traced graph: ndonnx's, as `op` has it."""

Arrays: TypeAlias = "Mapping[str, Array]"
"""Arrays of shape (n,) by name. As columns: numbers are float64, NaN for missing; instants datetime64[us] in UTC, NaT
for missing; texts utf8, "" for missing."""

Compute: TypeAlias = Callable[[Arrays], Arrays]
"""Takes contract columns and returns an array of shape (n,) for each feature."""
