"""The programs that are compared, on the same checkpoint and cores."""
