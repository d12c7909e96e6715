"""The machine that a benchmark ran on."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """Kind of a machine: figures of two machines of one kind can be compared."""

    cores: int
    cpu: str


def this_machine() -> Machine:
    """The kind of this machine. Linux names the model of the processor, other systems its architecture."""
    text = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return Machine(os.cpu_count() or 1, model[1] if model else platform.machine())


def describe_machine() -> str:
    """This machine and its Python, for a file of results."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = f"{os.cpu_count()} cores ({platform.machine()})"
    return f"{cores}, {memory:.0f} GiB of memory, CPython {platform.python_version()}"
