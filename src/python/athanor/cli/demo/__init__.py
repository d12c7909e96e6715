"""The demo as one command."""
