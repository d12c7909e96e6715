"""Layer `release`: what training hands to serving. Write it, read it, verify it, run it."""

from athanor.release.files import (
    CONTRACT,
    GRAPH,
    MODEL_CARD,
    REFERENCE_PROFILE,
    REFERENCE_ROWS,
    Release,
    digests,
    read_release,
    write_release,
)
from athanor.release.manifest import Identity, Manifest, Provenance
from athanor.release.predictor import TOLERANCE, Graph, Predictor
from athanor.release.store import ReleaseStore, Served, Traffic

__all__ = [
    "CONTRACT",
    "GRAPH",
    "MODEL_CARD",
    "REFERENCE_PROFILE",
    "REFERENCE_ROWS",
    "TOLERANCE",
    "Graph",
    "Identity",
    "Manifest",
    "Predictor",
    "Provenance",
    "Release",
    "ReleaseStore",
    "Served",
    "Traffic",
    "digests",
    "read_release",
    "write_release",
]
