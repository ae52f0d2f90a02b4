"""What is measured of the engine, each script one call: `python -m benchmarks.NAME`."""

from time import monotonic

BEGAN = monotonic()
"""When this process did: before it imported torch."""
