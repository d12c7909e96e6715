"""Sees calls of NumPy and pandas that take an array without values for one object, and answer nevertheless."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from athanor.errors import ContractError
from athanor.features.arrays import xp
from athanor.features.tracing.refusals import instead_of, is_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_LIBRARIES: Final = ("numpy", "pandas", "scipy")


@contextmanager
def watch_calls() -> Iterator[None]:
    """Raises ContractError if code in the context passes an array to a Python function of one of the libraries.

    Most such functions fail by themselves. `np.nan_to_num` returns the array as it is, and `pd.isna` says False.
    """
    folders = {str(Path(spec.origin).parent): name for name in _LIBRARIES if (spec := find_spec(name)) and spec.origin}
    roots = tuple(folders)
    found: list[str] = []

    def see(frame: FrameType, event: str, _: Any) -> None:
        # Of thousands of calls nearly all return here.
        if event != "call" or not frame.f_code.co_filename.startswith(roots) or frame.f_back is None:
            return
        caller = frame.f_back
        if any(isinstance(value, xp.Array) for value in frame.f_locals.values()) and not is_library(caller):
            library = next(name for folder, name in folders.items() if frame.f_code.co_filename.startswith(folder))
            name = frame.f_code.co_name.strip("_").removesuffix("_dispatcher")
            place = f"{caller.f_code.co_filename}:{caller.f_lineno}, in {caller.f_code.co_name}"
            found.append(f"{place}: {library}.{name} cannot be traced; {instead_of(library, name)}")

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        yield
    finally:
        sys.setprofile(before)
    if found:
        raise ContractError(found[0])
