"""Export: `export_model` writes a model for another runtime, and checks what it wrote."""

from __future__ import annotations

from sat2map.export.check import Check
from sat2map.export.formats import SUFFIXES, Export, Format, default_output, export_model

__all__ = ["SUFFIXES", "Check", "Export", "Format", "default_output", "export_model"]
