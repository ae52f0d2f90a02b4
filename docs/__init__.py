"""The documentation, and in `make` what makes parts of it."""
