"""Builds snapshots from raw tables, on one machine or on Ray."""
