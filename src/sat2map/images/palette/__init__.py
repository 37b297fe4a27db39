"""Map colours to map classes and back."""

from sat2map.images.palette.palette import MapClass, Palette

__all__ = ["MapClass", "Palette"]
