"""`python -m osupdate_kit.cli`: the command without its script."""

from osupdate_kit.cli import main

main()
