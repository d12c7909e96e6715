"""Profiles of column distributions, and drift and differences between datasets."""
