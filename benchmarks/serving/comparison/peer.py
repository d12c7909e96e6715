"""The command line of every peer's server."""

from __future__ import annotations

import argparse
import enum
from dataclasses import dataclass
from pathlib import Path


class Way(enum.Enum):
    """With which settings a peer serves."""

    AS_INSTALLED = "as-installed"
    DIRECT = "direct"
    """Its best for a caller who waits for each answer: optional work and batching are off."""
    BATCHING = "batching"
    """Its best for many callers at once: waiting requests are answered in one batch."""


@dataclass(frozen=True)
class Task:
    """How to serve.

    Attributes:
        pipeline: file of the fitted pipeline, by joblib.
        folder: for whatever the server writes; its own.
        port: of its door. The two after it are free as well.
    """

    pipeline: Path
    folder: Path
    port: int
    way: Way


def read_task() -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("way", type=Way)
    options = parser.parse_args()
    return Task(options.pipeline, options.folder, options.port, options.way)
