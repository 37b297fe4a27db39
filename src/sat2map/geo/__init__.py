"""Georeferenced rasters: everything here needs the `geo` extra, except `detect`."""

from __future__ import annotations
