"""Measurements of the engine, one script each: `python -m benchmarks.NAME`."""

from time import monotonic

BEGAN = monotonic()
"""When this process began, before it imported torch."""
