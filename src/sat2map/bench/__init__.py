"""Owns the bench: how fast this machine trains and translates, next to the plain way of doing it."""

from __future__ import annotations

from sat2map.bench.run import run_bench
from sat2map.bench.table import Bench, Row

__all__ = ["Bench", "Row", "run_bench"]
