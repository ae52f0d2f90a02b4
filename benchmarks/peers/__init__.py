"""Programs that are measured beside each other, on the same checkpoint and cores."""
