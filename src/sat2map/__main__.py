"""`python -m sat2map`."""

from sat2map.cli.main import main

main()
