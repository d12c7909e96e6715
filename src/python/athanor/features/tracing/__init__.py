"""Traces features into a graph, and refuses what cannot be traced."""
