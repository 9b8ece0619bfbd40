"""`python -m grit.cli` is `grit`, for whoever has an interpreter and not its scripts on the path."""

from grit.cli.main import main

main()
