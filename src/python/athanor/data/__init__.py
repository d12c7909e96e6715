"""Layer `data`: raw tables to validated, immutable snapshots, and how far data drifts from a reference."""

from athanor.data.build import build_snapshot
from athanor.data.profile import ColumnProfile, Profile, population_stability, profile
from athanor.data.snapshot import Snapshot, content_digest, find_snapshot, list_snapshots, read_snapshot
from athanor.data.source import Source, Transformed
from athanor.data.tables import join_blocks
from athanor.data.validation import accept

__all__ = [
    "ColumnProfile",
    "Profile",
    "Snapshot",
    "Source",
    "Transformed",
    "accept",
    "build_snapshot",
    "content_digest",
    "find_snapshot",
    "join_blocks",
    "list_snapshots",
    "population_stability",
    "profile",
    "read_snapshot",
]
