"""Runs the commands without the server installed: `python -m clients chat`."""

from clients.cli import main

main()
