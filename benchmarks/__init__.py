"""Benchmarks: how fast this machine trains and translates, next to a plain implementation."""

from __future__ import annotations

from benchmarks.suite import run_bench
from benchmarks.table import Bench, Row

__all__ = ["Bench", "Row", "run_bench"]
