"""Bytes of requests: unpacked and counted before anything is built of them."""
