"""`python -m gad_core.cli`, for launchers that start a module in several processes."""

from gad_core.cli import main

main()
