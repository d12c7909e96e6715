"""Requests that wait: what they hold of a replica, and when they are computed together."""
