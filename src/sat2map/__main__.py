"""Owns `python -m sat2map`."""

from sat2map.cli import main

main()
