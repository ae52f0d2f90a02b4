"""Generates the parts of the documentation that come from the program itself, and the pictures."""
