"""Owns rasters on the ground: everything here needs the `geo` extra, but for `recognise`."""

from __future__ import annotations
