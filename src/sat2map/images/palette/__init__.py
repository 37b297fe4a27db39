"""Map colours to map classes and back."""

from sat2map.images.palette.lab import srgb_to_lab
from sat2map.images.palette.learn import learn_palette
from sat2map.images.palette.palette import MapClass, Palette

__all__ = ["MapClass", "Palette", "learn_palette", "srgb_to_lab"]
