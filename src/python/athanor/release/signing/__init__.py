"""Signatures of releases and of traffic, and which keys are trusted."""
