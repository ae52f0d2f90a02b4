"""`python -m clients chat`, where the server is not installed."""

from clients.cli import main

main()
