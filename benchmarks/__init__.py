"""Owns the bench: how fast this machine trains and translates, next to the plain way of doing it."""

from __future__ import annotations

from benchmarks.suite import run_bench
from benchmarks.table import Bench, Row

__all__ = ["Bench", "Row", "run_bench"]
