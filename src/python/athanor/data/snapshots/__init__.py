"""Immutable versions of a dataset: staging, digest, commit, merge and vacuum."""
