"""Using a model: `Translator`."""

from __future__ import annotations

from sat2map.inference.translator import Translator

__all__ = ["Translator"]
