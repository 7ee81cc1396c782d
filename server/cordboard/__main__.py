"""`python -m cordboard`."""

from cordboard.cli import main

main()
