"""Measures the memory of a process."""

from pathlib import Path


def peak_kib() -> int:
    """The largest resident memory of this process so far, in KiB.

    `ru_maxrss` would begin with the memory of the process that started this one.
    """
    return _read("VmHWM")


def resident_kib() -> int:
    """The resident memory of this process now, in KiB."""
    return _read("VmRSS")


def _read(name: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:"))
