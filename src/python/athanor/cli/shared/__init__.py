"""Shared by all command lines: the terminal, progress bars and the Ray cluster of a command."""
