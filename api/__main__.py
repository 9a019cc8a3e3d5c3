"""`python -m api` is `loupe`."""

from api.cli import main

main()
