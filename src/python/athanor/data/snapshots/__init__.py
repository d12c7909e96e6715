"""Immutable versions of a dataset: how rows are staged, digested, committed, merged and vacuumed."""
