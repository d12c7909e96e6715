"""Explains why a function of arrays cannot be traced: where it stands, what is wrong, and what to write instead."""

from __future__ import annotations

import ast
import linecache
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from athanor.errors import ContractError
from athanor.features.arrays import xp

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_LAYER: Final = Path(__file__).parent.parent
_LIBRARIES: Final = ("ndonnx", "spox", "numpy", "pandas", "scipy", "onnx")
_OF_ARRAYS: Final = (AttributeError, IndexError, NotImplementedError, TypeError, ValueError)
_FOREIGN: Final = ("numpy", "pandas", "math", "statistics", "scipy")

_BRANCH: Final = (
    "Python's if, and, or, not, in, min and max ask for one value, but the array has one for each row: write "
    "xp.where(condition, a, b), &, |, ~, ==, xp.minimum or xp.maximum"
)
_ONE_NUMBER: Final = "an array of all rows is no single number: write the function of xp, such as xp.floor or xp.log"
_ROWS: Final = (
    "the number of rows is not known, and the same graph computes one or thousands: write an expression of whole "
    "arrays instead of a loop over rows"
)
_TEXT: Final = "texts are compared with == and joined with +; athanor.features.texts has normalize, join and look_up"
_TIME: Final = "athanor.features.times has to_local_time, hour_of_day, weekday, day_of_month, month, year and more"
_DATETIME: Final = "write an instant as np.datetime64('2013-01-31T00:00', 'us'), and a difference with time_between"
_DTYPE: Final = (
    "give a type of xp, such as xp.float64, xp.int64 or xp.bool; athanor.features.times has parts of instants"
)
_MISSING: Final = "write xp.where(xp.isnan(x), value, x), or is_missing of athanor.features.numbers"
_GENERAL: Final = "write it with xp, the Array API's functions, or with the helpers of athanor.features"

_EQUIVALENTS: Final = {
    "nan_to_num": "xp.where(xp.isnan(x), value, x)",
    **dict.fromkeys(("isna", "isnull"), "is_missing of athanor.features.numbers"),
}
_METHODS: Final = {
    **dict.fromkeys(("lower", "upper", "strip", "casefold", "replace", "split", "startswith", "str", "title"), _TEXT),
    **dict.fromkeys(("dt", "year", "month", "day", "hour", "minute", "weekday", "dayofweek", "timestamp"), _TIME),
    **dict.fromkeys(("fillna", "isna", "isnull", "notna"), _MISSING),
}
_CALLED: Final = {
    "__bool__": _BRANCH,
    **dict.fromkeys(("__float__", "__int__", "__index__", "__complex__"), _ONE_NUMBER),
    "__iter__": _ROWS,
}
_SAID: Final = {
    "has no len()": _ROWS,
    "'NoneType' object cannot be interpreted": _ROWS,
    "datetime": _DATETIME,
    "timedelta": _DATETIME,
    "dtype argument": _DTYPE,
}


def refuse(error: Exception, compute: Callable[..., Any]) -> ContractError:
    """Says where in the project's code an error was raised, and how to write it so that it can be traced."""
    trace = list(traceback.walk_tb(error.__traceback__))
    own = [position for position, (frame, _) in enumerate(trace) if not is_library(frame)]
    if not own:
        return ContractError(f"{locate(compute)}: {_say(error)}")
    frame, line = trace[own[-1]]
    place = f"{frame.f_code.co_filename}:{line}, in {frame.f_code.co_name}"
    if isinstance(error, ContractError):
        return ContractError(f"{place}: {error}")
    expression = _read_expression(error, own[-1])
    problem = f"{expression} cannot be traced ({_say(error)})" if expression else _say(error)
    if not isinstance(error, _OF_ARRAYS):
        return ContractError(f"{place}: {problem}")
    remedy = _find_remedy(error, [later.f_code.co_name for later, _ in trace[own[-1] + 1 :]], expression, frame)
    where_xp_is = "; xp is in athanor.features.arrays" if "xp" in remedy else ""
    return ContractError(f"{place}: {problem}; {remedy}{where_xp_is}")


def locate(compute: Callable[..., Any]) -> str:
    """Where a function is defined."""
    code = getattr(compute, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}, in {code.co_name}" if code else repr(compute)


def instead_of(library: str, name: str) -> str:
    """What to write instead of a function for values."""
    equivalent = f"xp.{name}" if hasattr(xp, name) else "it with xp or the helpers of athanor.features"
    return f"{library} computes values, and a traced array has none yet: write {_EQUIVALENTS.get(name, equivalent)}"


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def is_library(frame: FrameType) -> bool:
    """Whether a frame runs code of a library or of this layer, and not of a project."""
    return Path(frame.f_code.co_filename).is_relative_to(_LAYER) or any(
        Path(frame.f_code.co_filename).is_relative_to(Path(spec.origin).parent)
        for spec in map(find_spec, _LIBRARIES)
        if spec and spec.origin
    )


def _read_expression(error: Exception, position: int) -> str:
    """The expression that was evaluated, "" if its source cannot be read."""
    at = traceback.extract_tb(error.__traceback__)[position]
    if at.lineno != at.end_lineno or at.lineno is None:
        return linecache.getline(at.filename, at.lineno or 0).strip()
    return linecache.getline(at.filename, at.lineno).encode()[at.colno : at.end_colno].decode(errors="replace").strip()


def _find_remedy(error: Exception, called: list[str], expression: str, frame: FrameType) -> str:
    if function := _find_foreign(expression, frame):
        return instead_of(*function)
    for name, remedy in _CALLED.items():
        if name in called:
            return remedy
    if isinstance(error, AttributeError) and error.name in _METHODS:
        return _METHODS[error.name]
    return next((remedy for said, remedy in _SAID.items() if said in str(error)), _GENERAL)


def _find_foreign(expression: str, frame: FrameType) -> tuple[str, str] | None:
    """The library and the name of a function that was called, if it is one for values."""
    try:
        parsed = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        return None
    function = parsed.func if isinstance(parsed, ast.Call) else None
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        library = getattr(frame.f_globals.get(function.value.id), "__name__", "")
        return (library, function.attr) if library in _FOREIGN else None
    return None
