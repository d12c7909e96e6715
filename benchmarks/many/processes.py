"""What a process of a service holds and uses, as Linux counts it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def read_pss_mib(pid: int) -> float:
    """Proportional share of its resident memory: a page that n processes share counts as 1/n."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


def read_cpu_s(pid: int) -> float:
    """Processor time that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
